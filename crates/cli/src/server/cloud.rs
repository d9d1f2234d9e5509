//! The session with the cloud, from configuration.

use crate::config;
use anyhow::Context;
use cloud::openstack::{AppCredential, Auth, CallObserver, CloudConfig, Credentials, Domain, Named, OpenStack};
use engine::Metrics;
use secrecy::SecretString;
use std::{collections::HashMap, path::Path, sync::Arc};

/// Counts calls.
struct Count(Metrics);

impl CallObserver for Count {
    fn call(&self, service: &'static str, kind: &'static str, result: &'static str, millis: u64) {
        self.0.call(service, kind, result, millis as f64 / 1_000.0);
    }
}

/// Makes a session; nothing is sent before the first call, so that we start while Keystone is down.
pub(super) async fn connect(config: &config::OpenStack, metrics: Metrics) -> anyhow::Result<Arc<OpenStack>> {
    let config = cloud_config(config)?;
    let cloud = OpenStack::connect_with(config, Some(Arc::new(Count(metrics)))).await?;
    Ok(Arc::new(cloud))
}

/// Logs in anew with what the configuration says now.
pub(super) fn relogin(cloud: &OpenStack, config: &config::OpenStack) -> anyhow::Result<()> {
    Ok(cloud.set_login(&cloud_config(config)?.auth)?)
}

fn cloud_config(c: &config::OpenStack) -> anyhow::Result<CloudConfig> {
    let mut made = match (&c.cloud, &c.auth_url) {
        (Some(cloud), _) => CloudConfig::from_clouds_yaml(c.clouds_yaml.as_deref().map(Path::new), cloud)?,
        (None, Some(url)) => CloudConfig::new(Auth { url: url.clone(), credentials: credentials(c)? }),
        (None, None) => {
            let environment: HashMap<String, String> = std::env::vars().collect();
            CloudConfig::from_env(&environment).context("no OpenStack login: set [openstack] in the configuration, or the OS_* variables")?
        }
    };
    made.region = c.region.clone().or(made.region);
    if c.cloud.is_none() && c.auth_url.is_some() {
        made.interface.clone_from(&c.interface);
    }
    made.ca_file = c.ca_file.as_ref().map(Into::into).or(made.ca_file);
    made.compute_endpoint = c.compute_endpoint_override.clone().or(made.compute_endpoint);
    made.placement_endpoint = c.placement_endpoint_override.clone().or(made.placement_endpoint);
    Ok(made)
}

fn credentials(c: &config::OpenStack) -> anyhow::Result<Credentials> {
    let need = |value: &Option<String>, key: &str| value.clone().with_context(|| format!("openstack.{key} is not set"));
    let secret = |value: &Option<SecretString>, key: &str| value.clone().with_context(|| format!("openstack.{key} is not set"));
    if let Some(id) = &c.application_credential_id {
        let secret = secret(&c.application_credential_secret, "application_credential_secret")?;
        return Ok(Credentials::ApplicationCredential { credential: AppCredential::Id(id.clone()), secret });
    }
    let domain = |name: &Option<String>| Domain::Name(name.clone().unwrap_or_else(|| "Default".into()));
    Ok(Credentials::Password {
        user: Named::Name { name: need(&c.username, "username")?, domain: domain(&c.user_domain_name) },
        password: secret(&c.password, "password")?,
        project: Named::Name { name: need(&c.project_name, "project_name")?, domain: domain(&c.project_domain_name) },
    })
}
