//! signalling
