//! The API over TCP, on SQLite, as a client sees it.

mod access;
mod actions;
mod apply;
mod audit;
mod batch;
mod clients;
mod decisions;
mod discovery;
mod dry_run;
mod errors;
mod evidence;
mod fixture;
mod identity;
mod lists;
mod manners;
mod objects;
mod openapi;
mod reach;
mod refusals;
mod schemathesis;
mod store;
mod table;
mod watch;
