//! Certificates of a server that offers TLS.

use crate::program::{Account, find, run};
use std::{path::Path, process::Command};

/// Makes `ca.pem`, and `server.pem` with `server.key` for the name `localhost`.
pub(crate) fn certificates(dir: &Path, account: Option<Account>) {
    let openssl = || Command::new(find("openssl").expect("openssl was there"));
    let path = |name: &str| dir.join(name);
    run(openssl()
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=test authority"])
        .arg("-keyout")
        .arg(path("ca.key"))
        .arg("-out")
        .arg(path("ca.pem")));
    run(openssl()
        .args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(path("server.key"))
        .arg("-out")
        .arg(path("server.csr")));
    std::fs::write(path("extensions"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").expect("the folder can be written");
    run(openssl()
        .args(["x509", "-req", "-days", "30", "-CAcreateserial"])
        .arg("-in")
        .arg(path("server.csr"))
        .arg("-CA")
        .arg(path("ca.pem"))
        .arg("-CAkey")
        .arg(path("ca.key"))
        .arg("-extfile")
        .arg(path("extensions"))
        .arg("-out")
        .arg(path("server.pem")));
    for name in ["server.key", "server.pem", "ca.pem"] {
        Account::own(account, &path(name));
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(path("server.key"), mode).expect("it is ours");
}
