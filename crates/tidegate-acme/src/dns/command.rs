//! A command that changes a zone: told by arguments and by its environment what to do, and ended with all that it started if it
//! does not end in time. What it says on its standard error is passed on.

use super::{Change, DnsError, Record};
use rustix::process::{Pid, Signal, kill_process_group};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

/// How much of what it says is read.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// What was written before the end is there at once.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How much of that is passed on: the end, where the reason is.
const TOLD_BYTES_MAX: usize = 500;

pub(super) async fn run(
    words: &[String],
    change: Change,
    record: &Record,
    limit: Duration,
) -> Result<(), DnsError> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let action = match change {
        Change::Present => "present",
        Change::CleanUp => "cleanup",
    };
    let name = record.name.to_ascii();
    let mut command = Command::new(program);
    command.args(arguments).args([action, &name, &record.value]);
    command.env("TIDEGATE_ACME_ACTION", action).env("TIDEGATE_ACME_HOST", &record.host);
    command.env("TIDEGATE_ACME_NAME", &name).env("TIDEGATE_ACME_VALUE", &record.value);
    if let Some(zone) = &record.zone {
        command.env("TIDEGATE_ACME_ZONE", zone.apex.to_ascii());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let command = (program.clone(), command);
    run_within(command, limit).await
}

async fn run_within((program, mut command): (String, Command), limit: Duration) -> Result<(), DnsError> {
    let child = command.spawn().map_err(|error| DnsError::Unrunnable { command: program.clone(), error })?;
    let mut family = Family::of(child);
    let mut said = Vec::new();
    let ended = {
        let stderr = family.child.stderr.take();
        let mut listen = std::pin::pin!(listen(stderr, &mut said));
        let ended = async {
            tokio::select! {
                () = &mut listen => family.child.wait().await,
                // What it leaves running may hold the pipe for ever.
                status = family.child.wait() => {
                    let _ = tokio::time::timeout(LAST_WORDS, listen).await;
                    status
                }
            }
        };
        tokio::time::timeout(limit, ended).await
    };
    let said = told(&said);
    match ended {
        Err(_) => Err(DnsError::CommandSlow { command: program, limit, said }),
        Ok(Err(error)) => Err(DnsError::Unrunnable { command: program, error }),
        Ok(Ok(status)) => {
            family.has_ended = true;
            if status.success() {
                Ok(())
            } else {
                Err(DnsError::CommandFailed { command: program, status, said })
            }
        }
    }
}

/// Keeps the beginning, and lets whoever writes more not wait at a pipe that is full.
async fn listen(stderr: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(stderr) = stderr else { return };
    let mut stderr = stderr.take(SAID_BYTES_MAX);
    let _ = stderr.read_to_end(said).await;
    let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
}

/// A process and all that it started; ended when nobody waits any more.
struct Family {
    child: Child,
    group: Option<Pid>,
    has_ended: bool,
}

impl Family {
    fn of(child: Child) -> Self {
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self { child, group, has_ended: false }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(group) = self.group.filter(|_| !self.has_ended) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// In one line.
fn told(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let end =
        said.get(said.ceil_char_boundary(said.len().saturating_sub(TOLD_BYTES_MAX))..).unwrap_or_default();
    if end.is_empty() { String::new() } else { format!(": {end}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;

    async fn sh(script: &str, limit: Duration) -> Result<(), String> {
        let record = Record {
            host: "*.app.test".into(),
            name: Name::from_ascii("_acme-challenge.app.test.").unwrap(),
            value: "-value".into(),
            zone: None,
        };
        let words = ["sh", "-c", script, "hook"].map(str::to_owned);
        run(&words, Change::Present, &record, limit).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn it_is_told_what_to_do_and_what_it_says_is_passed_on() {
        let told = "test \"$*\" = 'present _acme-challenge.app.test. -value' \
            && test \"$TIDEGATE_ACME_HOST $TIDEGATE_ACME_VALUE\" = '*.app.test -value'";
        assert_eq!(sh(told, Duration::from_secs(10)).await, Ok(()));
        let said = sh("echo 'no such\n zone' >&2; exit 3", Duration::from_secs(10)).await;
        assert_eq!(said, Err("`sh` ended with 3: no such zone".into()));
        let said = sh("head -c 300000 /dev/zero | tr '\\0' x >&2; false", Duration::from_secs(10))
            .await
            .unwrap_err();
        assert!(said.starts_with("`sh` ended with 1: xxx") && said.len() < 600, "{said}");
    }

    #[tokio::test]
    async fn who_takes_too_long_is_ended_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("child");
        let script = format!("sleep 1000 & echo $! > {}; echo waiting >&2; wait", file.display());
        let said = sh(&script, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(said, "`sh` took longer than 1s: waiting");
        let child = std::fs::read_to_string(&file).unwrap();
        let status = std::path::PathBuf::from(format!("/proc/{}/stat", child.trim()));
        let is_gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z"));
        for _ in 0..100 {
            if is_gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("what it started still runs");
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_of() {
        let words = ["/no/such/hook".to_owned()];
        let record = Record { host: String::new(), name: Name::root(), value: String::new(), zone: None };
        let said =
            run(&words, Change::CleanUp, &record, Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(said.contains("`/no/such/hook` cannot be run: No such file"), "{said}");
    }
}
