//! Over HTTP, with one authenticated session.
