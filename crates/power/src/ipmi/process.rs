//! Running `ipmitool` so that it is dead 8 s later, whatever becomes of us (S8).

use secrecy::{ExposeSecret, SecretString};
use std::{ffi::OsStr, io::ErrorKind, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::OwnedMutexGuard,
};

/// More than `ipmitool` ever says in answer to our commands, in bytes.
const LONGEST_OUTPUT: u64 = 64 * 1024;
/// How much longer than `timeout` we wait for it.
const GRACE: Duration = Duration::from_secs(1);

/// What a process that was started came to.
#[derive(Debug)]
pub(super) enum Ended {
    /// It ended by itself.
    Exited {
        /// Exit status.
        code: i32,
        /// Standard output.
        stdout: String,
        /// Standard error.
        stderr: String,
    },
    /// It was killed, or what became of it is not known: whatever it was told may have happened.
    Killed,
}

/// Runs the program under `timeout -s KILL`.
///
/// `timeout` is a process of its own, so that the child dies in time even if this process is killed. For the same
/// reason it is *not* killed when the caller loses interest: killing `timeout` would set its child free of any limit.
/// Instead `held`, the lock of the device, is kept until the child is gone, so that no second command meets the first.
///
/// `Err` means nothing was started; it says why.
pub(super) async fn run(
    program: &OsStr,
    args: &[String],
    password: &SecretString,
    limit: Duration,
    held: Arc<OwnedMutexGuard<()>>,
) -> Result<Ended, String> {
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", &format!("{:.1}", limit.as_secs_f64())]).arg(program).args(args);
    command.env_clear().env("LC_ALL", "C").env("IPMI_PASSWORD", password.expose_secret());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|e| match e.kind() {
        ErrorKind::NotFound => "the program `timeout` is missing; install the package coreutils".to_owned(),
        ErrorKind::InvalidInput => "the user name or the password contains a NUL character; correct the Credential".to_owned(),
        _ => format!("`timeout` could not be started: {e}"),
    })?;
    let task = tokio::spawn(async move {
        let ended = tokio::time::timeout(limit + GRACE, wait(child)).await.unwrap_or(Ended::Killed);
        drop(held);
        ended
    });
    let ended = task.await.unwrap_or(Ended::Killed);
    match &ended {
        // Exit statuses of coreutils' timeout: 125 it failed itself, 126 not executable, 127 not found.
        Ended::Exited { code: 125..=127, stderr, .. } if stderr.starts_with("timeout: ") => {
            let program = program.to_string_lossy();
            Err(format!("`{program}` is missing or cannot be run; install the package ipmitool"))
        }
        _ => Ok(ended),
    }
}

async fn wait(mut child: Child) -> Ended {
    let (stdout, stderr) = tokio::join!(all(child.stdout.take()), all(child.stderr.take()));
    match child.wait().await.map(|status| status.code()) {
        // 137: killed by its time limit, or by somebody else.
        Ok(Some(code)) if code != 137 => Ended::Exited { code, stdout, stderr },
        _ => Ended::Killed,
    }
}

async fn all(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read up to an error is still worth showing; it is never taken for an answer by itself.
        let _ = pipe.take(LONGEST_OUTPUT).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
