//! The Redfish driver against servers that break off, and against certificates.

mod common;

use common::{says, skip, target};
use power::{Command, Power, PowerDriver, PowerError, RedfishDriver, Target};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use schemas::v1::{Protocol, power_device::Scheme};
use sha2::{Digest, Sha256};
use std::{
    io::{Read, Write},
    net::TcpListener,
    process,
    sync::{Arc, Mutex},
    thread,
};

const SYSTEM: &str = r##"{"PowerState": "On", "Actions": {"#ComputerSystem.Reset": {"target": "/reset"}}}"##;

/// A BMC without sessions, one thread long as the test. Answers gets; a post it reads and breaks off.
struct Bmc {
    target: Target,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Bmc {
    fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = target(Protocol::Redfish, listener.local_addr().unwrap().port());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, tls) = (seen.clone(), tls.map(Arc::new));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match &tls {
                    None => serve(stream, &log),
                    Some(config) => serve(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream), &log),
                }
            }
        });
        Self { target, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn https(mut self, pin: Option<String>) -> Self {
        self.target.spec.endpoint.scheme = Some(Scheme::HTTPS);
        self.target.spec.endpoint.certificate_sha256 = pin;
        self
    }
}

fn serve(mut stream: impl Read + Write, log: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => request.push(byte[0]),
            _ => return,
        }
    }
    let text = String::from_utf8(request).unwrap();
    let line = text.lines().next().unwrap().to_owned();
    log.lock().unwrap().push(line.clone());
    let body = match line.split(' ').take(2).collect::<Vec<_>>().as_slice() {
        ["GET", "/redfish/v1/"] => "{}",
        ["GET", "/redfish/v1/Systems"] => r#"{"Members": [{"@odata.id": "/redfish/v1/Systems/1"}]}"#,
        ["GET", "/redfish/v1/Systems/1"] => SYSTEM,
        _ => return,
    };
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.flush();
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_reset_leaves_it_open_whether_it_happened() {
    let bmc = Bmc::start(None);
    let error = RedfishDriver::new().set(&bmc.target, Command::ForceOff).await.unwrap_err();
    assert!(error.may_have_acted(), "{error:?}");
    let posts: Vec<String> = bmc.seen().into_iter().filter(|line| line.starts_with("POST")).collect();
    assert_eq!(posts, ["POST /reset HTTP/1.1"], "sent once");
}

#[tokio::test]
async fn a_bmc_that_cannot_be_reached_is_unknown_and_never_off() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = target(Protocol::Redfish, port);
    for error in [RedfishDriver::new().read(&nobody).await.unwrap_err(), RedfishDriver::new().set(&nobody, Command::ForceOff).await.unwrap_err()] {
        assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
        says(&error, &["bmc-1", "cannot be reached", "unknown", "spec.endpoint"]);
    }
}

/// A self-signed certificate as BMCs have them, and its key.
struct Certificate {
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// `None` (and said so) without the program `openssl`.
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let mut openssl = process::Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bmc", "-out"]);
        openssl.arg(&cert).arg("-keyout").arg(&key);
        match openssl.output() {
            Err(_) => {
                skip("openssl is not there; install the package openssl");
                None
            }
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let der = CertificateDer::from_pem_file(cert).unwrap();
                Some(Self { der, key: PrivateKeyDer::from_pem_file(key).unwrap() })
            }
        }
    }

    fn fingerprint(&self) -> String {
        Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

/// Shows `shown` and signs with `key`, which need not belong together.
fn server(shown: &Certificate, key: &Certificate) -> ServerConfig {
    #[derive(Debug)]
    struct Fixed(Arc<CertifiedKey>);
    impl ResolvesServerCert for Fixed {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let provider = ring::default_provider();
    let key = provider.key_provider.load_private_key(key.key.clone_key()).unwrap();
    let resolver = Fixed(Arc::new(CertifiedKey::new(vec![shown.der.clone()], key)));
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

#[tokio::test]
async fn a_pinned_certificate_is_believed_whoever_signed_it() {
    let Some(cert) = Certificate::new() else { return };
    for pin in [cert.fingerprint(), cert.fingerprint().replace(':', "").to_lowercase()] {
        let bmc = Bmc::start(Some(server(&cert, &cert))).https(Some(pin));
        assert_eq!(RedfishDriver::new().read(&bmc.target).await, Ok(Power::On));
    }
}

#[tokio::test]
async fn another_certificate_gets_no_request_and_is_named() {
    let Some(cert) = Certificate::new() else { return };
    let bmc = Bmc::start(Some(server(&cert, &cert))).https(Some("ab".repeat(32)));
    for error in [RedfishDriver::new().read(&bmc.target).await.unwrap_err(), RedfishDriver::new().set(&bmc.target, Command::On).await.unwrap_err()] {
        assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
        says(&error, &["bmc-1", &cert.fingerprint(), "spec.endpoint.certificateSha256"]);
    }
    assert!(bmc.seen().is_empty());
}

#[tokio::test]
async fn the_right_certificate_without_its_key_is_an_impostor() {
    let (Some(cert), Some(other)) = (Certificate::new(), Certificate::new()) else { return };
    let bmc = Bmc::start(Some(server(&cert, &other))).https(Some(cert.fingerprint()));
    let error = RedfishDriver::new().read(&bmc.target).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    assert!(bmc.seen().is_empty());
}

#[tokio::test]
async fn a_certificate_that_no_authority_signed_needs_a_pin() {
    let Some(cert) = Certificate::new() else { return };
    let bmc = Bmc::start(Some(server(&cert, &cert))).https(None);
    let error = RedfishDriver::new().read(&bmc.target).await.unwrap_err();
    assert!(matches!(error, PowerError::NotSent(_)), "{error:?}");
    says(&error, &["not trusted", "spec.endpoint.certificateSha256"]);
    assert!(bmc.seen().is_empty());
}
