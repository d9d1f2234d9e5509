//! Private database servers for tests: a PostgreSQL or a MariaDB in a temporary folder, on a free port, gone with the test.

mod launch;
mod program;
mod server;
mod tls;

pub use program::{Kind, skip};
pub use server::{Options, Server};

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

/// Name of the account that tests use; it owns its databases and is no superuser.
pub const USER: &str = "cm";
/// Its password. Distinctive, so that finding it anywhere is a leak.
pub const PASSWORD: &str = "correct-horse";

/// The server that all tests of this binary share. `None`, and a loud word, if it is not installed.
pub fn shared(kind: Kind) -> Option<&'static Server> {
    static POSTGRES: OnceLock<Option<Server>> = OnceLock::new();
    static MARIADB: OnceLock<Option<Server>> = OnceLock::new();
    let place = match kind {
        Kind::Postgres => &POSTGRES,
        Kind::Mariadb => &MARIADB,
    };
    place.get_or_init(|| Server::start(kind, Options::default())).as_ref()
}

/// A name for a database that nobody else uses.
pub fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("cm_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
