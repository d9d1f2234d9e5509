//! Ways to a server: IPv6, and TLS without a proxy.

use crate::fixture::{Answer, PATIENCE, api_with};
use api_server::{ApiConfig, TlsFiles};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

#[tokio::test]
async fn a_server_on_ipv6_names_itself_in_brackets() {
    let api = api_with(ApiConfig { listen: "[::1]:0".parse().unwrap(), ..ApiConfig::default() }).await;
    let answer = api.get("/v1").await.gives(200);
    assert_eq!(answer.body["version"]["links"][0]["href"], format!("{}/v1/", api.base));
    assert!(api.base.starts_with("http://[::1]:"));
}

/// A certificate for this machine that only who is given it believes, and its key.
fn certificate(dir: &Path, name: &str) -> TlsFiles {
    let config = dir.join("openssl.cnf");
    let text = "[req]\ndistinguished_name = dn\nprompt = no\nx509_extensions = v3\n[dn]\nCN = 127.0.0.1\n\
                [v3]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = CA:FALSE\n";
    std::fs::write(&config, text).unwrap();
    let files = TlsFiles { certificate: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-config"]).arg(config);
    openssl.arg("-out").arg(&files.certificate).arg("-keyout").arg(&files.key).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(openssl.status().expect("openssl is installed").success());
    files
}

/// One request to `/v1/hosts` by a client that believes this certificate.
async fn ask(base: &str, believed: &Path) -> Result<Answer, reqwest::Error> {
    let root = reqwest::Certificate::from_pem(&std::fs::read(believed).unwrap())?;
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_built_in_root_certs(false).add_root_certificate(root);
    let sent = builder.build()?.get(format!("{base}/v1/hosts")).header("x-auth-token", "admin").send().await;
    if let Ok(response) = &sent {
        assert_eq!(response.version(), reqwest::Version::HTTP_2);
    }
    Ok(Answer::of(sent?).await)
}

#[tokio::test]
async fn a_server_with_a_certificate_speaks_https_and_a_renewed_one_counts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (used, renewed) = (certificate(dir.path(), "used"), certificate(dir.path(), "renewed"));
    let first = dir.path().join("first.pem");
    std::fs::copy(&used.certificate, &first).unwrap();
    let api = api_with(ApiConfig { tls: Some(used.clone()), ..ApiConfig::default() }).await;
    let list = ask(&api.base, &first).await.unwrap().gives(200);
    assert_eq!(list.body["links"][0]["href"], format!("{}/v1/hosts", api.base));
    assert!(ask(&api.base, &renewed.certificate).await.is_err(), "a certificate that nobody vouches for is believed");
    std::fs::copy(&renewed.certificate, &used.certificate).unwrap();
    std::fs::copy(&renewed.key, &used.key).unwrap();
    let begun = Instant::now();
    while let Err(error) = ask(&api.base, &renewed.certificate).await {
        assert!(begun.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
