//! What clouds do that must not mislead us, each played by a small HTTP server.

mod auth;
mod calls;
mod lists;
mod support;
