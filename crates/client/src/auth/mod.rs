//! Who we are: Keystone credentials from flags, `OS_*` variables or `clouds.yaml`.

mod clouds;
mod keystone;

pub use keystone::{Keystone, Method, Scope, Session};
pub(crate) use keystone::{catalogue as keystone_catalogue, endpoint as keystone_endpoint};

use crate::Error;
use secrecy::SecretString;
use std::{collections::BTreeMap, path::PathBuf};

/// What requests are authenticated with. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub enum Auth {
    /// With nothing; only discovery works without a token.
    None,
    /// With a token that was got elsewhere. It cannot be renewed.
    Token {
        /// The token.
        token: SecretString,
        /// Keystone, to look up the endpoint in the catalogue.
        auth_url: Option<String>,
    },
    /// With tokens from Keystone.
    Keystone(Box<Keystone>),
}

/// Which endpoint of a service is wanted, and how TLS is checked.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who we are.
    pub auth: Auth,
    /// Region in the catalogue; any if absent.
    pub region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// PEM file with further certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// Certificates are not checked. Only for trying.
    pub insecure: bool,
    /// `cloud_manager_endpoint_override` of clouds.yaml.
    pub endpoint: Option<String>,
}

/// What the command line said. Each given value wins over the environment and clouds.yaml.
#[derive(Clone, Debug, Default)]
pub struct AuthOptions {
    /// `--os-cloud`: name of a cloud in clouds.yaml.
    pub cloud: Option<String>,
    /// `--os-token`.
    pub token: Option<SecretString>,
    /// `--os-region-name`.
    pub region: Option<String>,
    /// `--os-interface`.
    pub interface: Option<String>,
    /// `--os-cacert`.
    pub ca_file: Option<PathBuf>,
    /// `--insecure`.
    pub insecure: bool,
}

/// The environment variables and directories that credentials are looked for in.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    current_dir: PathBuf,
}

impl std::fmt::Debug for Environment {
    /// Names only: `OS_PASSWORD` is among the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// That of this process. Variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
        Environment { variables, current_dir: std::env::current_dir().unwrap_or_default() }
    }

    /// A made-up one.
    pub fn new(variables: &[(&str, &str)], current_dir: impl Into<PathBuf>) -> Self {
        let variables = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Environment { variables, current_dir: current_dir.into() }
    }

    /// A variable; an empty one counts as not set, as in every OpenStack client.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

impl AuthOptions {
    /// Decides who we are: a given token, else a cloud of clouds.yaml, else `OS_*` variables, else nobody.
    ///
    /// # Errors
    /// [`Error::Usage`] names the file or variable that is wrong or missing.
    pub fn resolve(&self, environment: &Environment) -> Result<Access, Error> {
        let cloud = self.cloud.as_deref().or_else(|| environment.get("OS_CLOUD"));
        let settings = match cloud {
            Some(name) => clouds::load(name, environment)?,
            None => clouds::from_variables(environment),
        };
        let token = self.token.clone().or_else(|| (self.cloud.is_none()).then(|| environment.get("OS_TOKEN").map(SecretString::from)).flatten());
        let auth = match token {
            Some(token) => Auth::Token { token, auth_url: settings.auth_url() },
            None if settings.is_empty() => Auth::None,
            None => settings.auth()?,
        };
        let insecure = self.insecure || settings.insecure();
        Ok(Access {
            auth,
            region: self.region.clone().or_else(|| settings.get("region_name")),
            interface: self.interface.clone().or_else(|| settings.get("interface")).unwrap_or_else(|| "public".into()).trim_end_matches("URL").into(),
            ca_file: self.ca_file.clone().or_else(|| settings.get("cacert").map(PathBuf::from)),
            insecure,
            endpoint: settings.get("cloud_manager_endpoint_override"),
        })
    }
}
