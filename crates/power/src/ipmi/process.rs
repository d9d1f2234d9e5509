//! Running `ipmitool` so that it is dead 8 s later, whatever becomes of us, and at once if we are killed (S8).

use secrecy::{ExposeSecret, SecretString};
use std::{ffi::OsStr, io::ErrorKind, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::{OnceCell, OwnedMutexGuard},
};

/// More than `ipmitool` ever says in answer to our commands, in bytes.
const LONGEST_OUTPUT: u64 = 64 * 1024;
/// How much longer than `timeout` we wait for it.
const GRACE: Duration = Duration::from_secs(1);

const NO_TIMEOUT: &str = "the program `timeout` is missing; install the package coreutils";

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

/// Makes a process die with the thread that started it (`PR_SET_PDEATHSIG`); from util-linux, which every Debian has.
/// That is a thread of the runtime, which lives as long as the process.
const DIES_WITH_US: [&str; 3] = ["setpriv", "--pdeathsig", "KILL"];

/// Whether [`DIES_WITH_US`] works here. Without it the time limit alone ends what a killed process leaves behind.
async fn can_die_with_us() -> bool {
    static KNOWN: OnceCell<bool> = OnceCell::const_new();
    let try_it = || async {
        let [program, args @ ..] = DIES_WITH_US;
        let mut command = Command::new(program);
        command.args(args).arg("true").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let works = command.status().await.is_ok_and(|status| status.success());
        if !works {
            tracing::warn!("`setpriv --pdeathsig` does not work here: if this process is killed, its `ipmitool` may go on for up to 8 s");
        }
        works
    };
    *KNOWN.get_or_init(try_it).await
}

/// To be called once before [`run`] and before the lease is looked at, because it may take a moment the first time.
pub(super) async fn prepare() {
    can_die_with_us().await;
}

/// Runs the program under `timeout -s KILL`, both bound to die with us.
///
/// If this process is killed, its child is killed with it: a controller that is gone acts no more. Where that is not
/// possible, and if this process is only paused, `timeout`, a process of its own, ends it in time. While we live the child
/// is *not* killed when the caller loses interest. Instead `held`, the lock of the device, is kept until it is gone, so
/// that no second command meets the first.
///
/// `Err` means nothing was started; it says why.
pub(super) async fn run(
    program: &OsStr,
    args: &[String],
    password: &SecretString,
    limit: Duration,
    held: Arc<OwnedMutexGuard<()>>,
) -> Result<Ended, String> {
    let bound: &[&str] = if can_die_with_us().await { &DIES_WITH_US } else { &[] };
    let limit_text = format!("{:.1}", limit.as_secs_f64());
    let limited = ["timeout", "-s", "KILL", &limit_text];
    // `timeout` dies with us, and the program with `timeout`.
    let mut words = bound.iter().chain(&limited).chain(bound);
    let mut command = Command::new(words.next().unwrap_or(&"timeout"));
    command.args(words).arg(program).args(args);
    command.env_clear().env("LC_ALL", "C").env("IPMI_PASSWORD", password.expose_secret());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|e| match e.kind() {
        ErrorKind::NotFound => NO_TIMEOUT.to_owned(),
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
        // setpriv's: 126 and 127 alike.
        Ended::Exited { code: 125..=127, stderr, .. } if stderr.starts_with("setpriv: failed to execute timeout") => Err(NO_TIMEOUT.to_owned()),
        Ended::Exited { code: 125..=127, stderr, .. } if ["timeout: ", "setpriv: "].iter().any(|who| stderr.starts_with(who)) => {
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
