//! The API over TCP, on SQLite, as a client sees it.

mod actions;
mod clients;
mod decisions;
mod discovery;
mod evidence;
mod fixture;
mod identity;
mod lists;
mod manners;
mod objects;
mod refusals;
mod store;
mod watch;
