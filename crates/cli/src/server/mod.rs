//! The server roles.

use crate::args::{DbCommand, SandboxRunArgs, ServerArgs};

/// `cloud-manager run`.
pub async fn run(_args: ServerArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built into this binary")
}

/// `cloud-manager api-server`.
pub async fn api_server(_args: ServerArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built into this binary")
}

/// `cloud-manager controller`.
pub async fn controller(_args: ServerArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built into this binary")
}

/// `cloud-manager sandbox`.
pub async fn sandbox(_args: SandboxRunArgs) -> anyhow::Result<()> {
    anyhow::bail!("not built into this binary")
}

/// `cloud-manager db`.
pub async fn db(_command: DbCommand) -> anyhow::Result<()> {
    anyhow::bail!("not built into this binary")
}
