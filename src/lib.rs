//! wharf: a private OCI and Docker registry.
//!
//! A request walks down one staircase, and nothing calls back up:
//! [`server`] accepts the connection, [`http`] parses the request, asks
//! [`auth`] who it is and [`access`] whether they may, [`registry`] does what
//! a registry does, and [`storage`] keeps the bytes. [`oci`] is the vocabulary
//! that all of them share, [`observe`] tells the outside what happens,
//! [`config`] reads registry:2's configuration, [`app`] wires the parts
//! together and [`cli`] is the command line. `tests/architecture.rs` holds the
//! order.

pub mod access;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
pub mod observe;
pub mod oci;
pub mod registry;
pub mod server;
pub mod storage;
