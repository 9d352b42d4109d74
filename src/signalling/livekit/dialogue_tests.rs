//! The dialogue, frame by frame.
