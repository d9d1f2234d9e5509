//! TLS of the listener: a certificate and its key, read again when their files change.

use crate::stamp::{Stamp, stamp};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const RECHECK: Duration = Duration::from_secs(2);

/// Where certificate and key are, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead to an authority the clients know.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// What new connections are served with.
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<TlsAcceptor>,
    /// Of the files that were looked at last, good or bad.
    seen: Mutex<[Option<Stamp>; 2]>,
}

impl Tls {
    /// # Errors
    /// What is wrong with a file, with the name of the setting.
    pub fn open(files: TlsFiles) -> Result<Tls, String> {
        let seen = stamps(&files);
        Ok(Tls { current: RwLock::new(read(&files)?), files, seen: Mutex::new(seen) })
    }

    pub fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the files if one changed since they were looked at. A certificate and a key that do not belong together are mostly a
    /// renewal half done: what was in force stays so, and both are looked at again when the other changes.
    fn refresh(&self) -> Result<(), String> {
        let now = stamps(&self.files);
        if std::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), now) == now {
            return Ok(());
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read(&self.files)?;
        tracing::info!(file = %self.files.certificate.display(), "the certificate or its key changed and was read again");
        Ok(())
    }

    /// Looks at the files again and again, until the server stops.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        while tokio::time::timeout(RECHECK, stop.cancelled()).await.is_err() {
            if let Err(error) = self.refresh() {
                tracing::error!(%error, "the certificate cannot be read again: the one before stays in force");
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> [Option<Stamp>; 2] {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).ok().as_ref().map(stamp))
}

fn read(files: &TlsFiles) -> Result<TlsAcceptor, String> {
    let at = |key: &str, path: &Path, why: String| format!("api.{key}: {}: {why}", path.display());
    let certificate = |why| at("tls_cert_file", &files.certificate, why);
    let key = |why| at("tls_key_file", &files.key, why);
    let pem = std::fs::read(&files.certificate).map_err(|e| certificate(format!("it cannot be read: {e}")))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| certificate(format!("it is no PEM: {e}")))?;
    if chain.is_empty() {
        return Err(certificate("it holds no certificate; it must begin with -----BEGIN CERTIFICATE-----".into()));
    }
    let pem = std::fs::read(&files.key).map_err(|e| key(format!("it cannot be read: {e}")))?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| key("it holds no private key in PEM that is not encrypted".into()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, private).map_err(|e| key(format!("it does not go with the certificate: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn certificate(dir: &Path, name: &str) -> TlsFiles {
        let files = TlsFiles { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj", "/CN=test"]);
        openssl.arg("-out").arg(&files.certificate).arg("-keyout").arg(&files.key).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(openssl.status().expect("openssl is installed").success());
        files
    }

    #[test]
    fn a_certificate_whose_key_is_not_there_yet_leaves_the_one_before_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let (used, renewed) = (certificate(dir.path(), "used"), certificate(dir.path(), "renewed"));
        let tls = Tls::open(used.clone()).unwrap();
        let before = tls.acceptor();
        let is_before = || Arc::ptr_eq(before.config(), tls.acceptor().config());
        assert!(tls.refresh().is_ok() && is_before());
        std::fs::copy(&renewed.certificate, &used.certificate).unwrap();
        let error = tls.refresh().unwrap_err();
        assert!(error.starts_with("api.tls_key_file: ") && error.contains("it does not go with the certificate") && is_before(), "{error}");
        assert!(tls.refresh().is_ok() && is_before(), "it is told once");
        std::fs::copy(&renewed.key, &used.key).unwrap();
        assert!(tls.refresh().is_ok() && !is_before());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_the_name_of_its_setting() {
        let dir = tempfile::tempdir().unwrap();
        let good = certificate(dir.path(), "good");
        let empty = dir.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let told =
            |certificate: &Path, key: &Path| Tls::open(TlsFiles { certificate: certificate.into(), key: key.into() }).err().unwrap_or_default();
        assert!(told(Path::new("/nowhere"), &good.key).starts_with("api.tls_cert_file: /nowhere: it cannot be read"));
        assert!(told(&empty, &good.key).contains("it holds no certificate"));
        assert!(told(&good.certificate, &empty).contains("api.tls_key_file") && told(&good.certificate, &empty).contains("no private key"));
        assert_eq!(told(&good.certificate, &good.key), "");
    }
}
