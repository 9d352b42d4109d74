//! Tests of the rules of a call, in virtual time: one file per group of rules, and random schedules.
//!
//! [`sim`] simulates the environment (coordinator, socket, RPC server, engine, application). [`check`] verifies every
//! input and output of every test, scripted or random, and fails at once.

mod candidates;
mod check;
mod data;
mod dialects;
mod drain;
mod health;
mod ice_servers;
mod join;
mod leave;
mod media;
mod migrate;
mod moderation;
mod offers;
mod one_connection;
mod people;
mod publish;
mod random;
mod reconnect;
mod remotes;
mod roster;
mod rpc;
mod sim;
mod stats;
mod subscriptions;
mod texts;
mod traces;
mod tracks;
