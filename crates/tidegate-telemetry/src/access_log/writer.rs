//! The access log of the process: where lines go, and the thread that writes them. Knows nothing of formats.

use super::buffer::{AccessLogHandle, Lines};
use crate::families::ACCESS_LOG_DROPPED;
use crate::registry::CONTROL;
use crate::{Counter, Registry};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// How long a line waits at most before it is written, when writing keeps up.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);
/// How long dropping the log waits for its last lines to be written.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Appended to, created with mode 0640.
    File(PathBuf),
    Stderr,
    Stdout,
}

/// The target could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {name}: {source}")]
pub struct OpenError {
    name: String,
    source: io::Error,
}

/// The log of the process: owns the writing thread. Cheap to hand out per worker. The default one is off.
#[derive(Debug, Default)]
pub struct AccessLog {
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    target: Target,
    bytes_max: usize,
    registry: Arc<Registry>,
    shared: Arc<Shared>,
    thread: Thread,
    /// Disconnected when the thread has ended. Behind a lock only because a receiver cannot be shared.
    ended: Mutex<Receiver<()>>,
    handles: AtomicUsize,
}

/// What the writing thread and the others tell each other.
#[derive(Debug, Default)]
struct Shared {
    handles: Mutex<Vec<Arc<AccessLogHandle>>>,
    reopened: Mutex<Option<File>>,
    stop: AtomicBool,
}

impl AccessLog {
    /// Bytes that one worker's lines may take until they are written.
    pub const BUFFER_BYTES_MAX: usize = 1024 * 1024;

    /// Opens the target and starts the writing thread.
    pub fn start(
        target: Target,
        buffer_bytes_max: usize,
        registry: &Arc<Registry>,
    ) -> Result<Self, OpenError> {
        let file = target.open()?;
        Self::start_on(file, target, buffer_bytes_max, registry)
    }

    fn start_on(
        file: File,
        target: Target,
        bytes_max: usize,
        registry: &Arc<Registry>,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::default());
        let dropped = registry.counter(CONTROL, &ACCESS_LOG_DROPPED, &[]);
        let (alive, ended) = channel();
        let writer = Writer { shared: Arc::clone(&shared), file, torn: false, dropped };
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(alive))
            .map_err(|source| OpenError { name: target.to_string(), source })?
            .thread()
            .clone();
        let (registry, ended, handles) = (Arc::clone(registry), Mutex::new(ended), AtomicUsize::new(0));
        Ok(Self { running: Some(Running { target, bytes_max, registry, shared, thread, ended, handles }) })
    }

    /// A new end, for one worker.
    pub fn handle(&self) -> Arc<AccessLogHandle> {
        let Some(running) = &self.running else { return Arc::default() };
        let number = running.handles.fetch_add(1, Ordering::Relaxed);
        let writer = running.thread.clone();
        let handle = Arc::new(AccessLogHandle::new(number, running.bytes_max, writer, &running.registry));
        lock(&running.shared.handles).push(Arc::clone(&handle));
        handle
    }

    /// Opens the file anew under the same name, after a rotation moved the old one away. When that fails the old one stays
    /// in use.
    pub fn reopen(&self) -> Result<(), OpenError> {
        if let Some(Running { target: target @ Target::File(_), shared, thread, .. }) = &self.running {
            *lock(&shared.reopened) = Some(target.open()?);
            thread.unpark();
        }
        Ok(())
    }

    /// Writes what the handles took until now and ends; says whether that was done within the time. What does not get
    /// written by then may be lost.
    pub fn shutdown(&self, within: Duration) -> bool {
        let Some(running) = &self.running else { return true };
        // Release: the lines written before are seen by the thread that sees the flag. The buffers' locks do it too.
        running.shared.stop.store(true, Ordering::Release);
        running.thread.unpark();
        lock(&running.ended).recv_timeout(within) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shutdown(SHUTDOWN_TIMEOUT);
    }
}

impl Target {
    /// Standard output and error are duplicated: writing to them takes no lock that printing elsewhere would wait for.
    fn open(&self) -> Result<File, OpenError> {
        let opened = match self {
            Self::File(path) => open_append(path),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        };
        opened.map_err(|source| OpenError { name: self.to_string(), source })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stderr => f.write_str("on standard error"),
            Self::Stdout => f.write_str("on standard output"),
        }
    }
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing thread.
struct Writer {
    shared: Arc<Shared>,
    file: File,
    /// The last line that was written is not whole.
    torn: bool,
    dropped: Arc<Counter>,
}

impl Writer {
    /// Empties the buffers until told to stop, and then once more. `_alive` is dropped at the end, which tells.
    fn run(mut self, _alive: Sender<()>) {
        let mut lines = Lines::default();
        loop {
            let last_round = self.shared.stop.load(Ordering::Acquire);
            if let Some(file) = lock(&self.shared.reopened).take() {
                (self.file, self.torn) = (file, false);
            }
            let handles = lock(&self.shared.handles).clone();
            for handle in handles {
                handle.swap(&mut lines);
                self.write(&lines);
            }
            if last_round {
                return;
            }
            std::thread::park_timeout(FLUSH_INTERVAL);
        }
    }

    fn write(&mut self, lines: &Lines) {
        if lines.bytes.is_empty() {
            return;
        }
        if self.torn && self.write_bytes(b"\n").is_ok() {
            self.torn = false;
        }
        if self.torn {
            self.dropped.add_from_any_thread(lines.count);
        } else if let Err(rest) = self.write_bytes(&lines.bytes) {
            let written = lines.bytes.len() - rest.len();
            self.torn = lines.bytes[..written].last().is_some_and(|&byte| byte != b'\n');
            self.dropped.add_from_any_thread(line_count(rest));
        }
    }

    /// Writes all, or gives back what could not be written.
    fn write_bytes<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(), &'a [u8]> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(bytes),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A terminal or pipe that another program made non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_writable(),
                Err(_) => return Err(bytes),
            }
        }
        Ok(())
    }

    fn wait_writable(&self) {
        let mut ready = [PollFd::new(&self.file, PollFlags::OUT)];
        let _ = poll(&mut ready, None); // an interruption or error shows in the next write
    }
}

fn line_count(bytes: &[u8]) -> u64 {
    bytes.split(|&byte| byte == b'\n').skip(1).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
    use std::os::fd::OwnedFd;

    fn registry() -> Arc<Registry> {
        Arc::default()
    }

    fn to_pipe(bytes_max: usize, registry: &Arc<Registry>) -> (AccessLog, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        (AccessLog::start_on(file, Target::Stdout, bytes_max, registry).unwrap(), reader)
    }

    fn to_file(path: &Path, registry: &Arc<Registry>) -> AccessLog {
        AccessLog::start(Target::File(path.into()), AccessLog::BUFFER_BYTES_MAX, registry).unwrap()
    }

    fn dropped(registry: &Registry) -> u64 {
        registry.total(&ACCESS_LOG_DROPPED, &[])
    }

    #[test]
    fn a_line_arrives_without_being_asked_for() {
        let (log, reader) = to_pipe(1024, &registry());
        log.handle().write(b"hello\n");
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        assert_eq!(line, "hello\n");
    }

    #[test]
    fn a_blocked_pipe_costs_lines_that_are_counted_and_never_a_worker() {
        let registry = registry();
        let (log, mut reader) = to_pipe(4096, &registry);
        let handle = log.handle();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let written = 10_000; // 10 MB into a pipe of 64 KB that nobody reads
        for _ in 0..written {
            handle.write(&line);
        }
        assert!(!log.shutdown(Duration::ZERO), "the thread is stuck in the pipe");
        let dropped = dropped(&registry);
        let mut received = Vec::new();
        drop(handle);
        let reading = std::thread::spawn(move || {
            reader.read_to_end(&mut received).unwrap();
            received
        });
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(line_count(&reading.join().unwrap()) + dropped, written);
        assert!(dropped > 9_000, "{dropped}");
    }

    #[test]
    fn shutting_down_writes_the_last_lines_of_every_worker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = to_file(&path, &registry());
        let handles: Vec<_> = (0..4).map(|_| log.handle()).collect();
        std::thread::scope(|scope| {
            for handle in &handles {
                scope.spawn(|| (0..1000).for_each(|n| handle.write(format!("{n}\n").as_bytes())));
            }
        });
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(line_count(&std::fs::read(&path).unwrap()), 4000);
    }

    #[test]
    fn after_a_rotation_lines_go_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = to_file(&path, &registry());
        std::fs::rename(&path, &rotated).unwrap();
        log.reopen().unwrap();
        log.handle().write(b"after\n");
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_and_on_reopening_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/access.log");
        let target = Target::File(path.clone());
        let error = AccessLog::start(target, AccessLog::BUFFER_BYTES_MAX, &registry()).unwrap_err();
        assert!(error.to_string().contains("logs/access.log"), "{error}");

        std::fs::create_dir(folder.path().join("logs")).unwrap();
        let log = to_file(&path, &registry());
        std::fs::rename(folder.path().join("logs"), folder.path().join("gone")).unwrap();
        log.reopen().unwrap_err();
        log.handle().write(b"still here\n");
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(std::fs::read_to_string(folder.path().join("gone/access.log")).unwrap(), "still here\n");
    }

    #[test]
    fn a_full_disk_costs_lines_that_are_counted() {
        let registry = registry();
        let log = to_file(Path::new("/dev/full"), &registry);
        log.handle().write(b"one\n");
        log.handle().write(b"two\n");
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(dropped(&registry), 2);
    }

    #[test]
    fn a_log_that_is_off_takes_lines_and_does_nothing() {
        let log = AccessLog::default();
        assert!(!log.handle().is_on());
        log.handle().write(b"nowhere\n");
        log.reopen().unwrap();
        assert!(log.shutdown(Duration::ZERO));
    }

    #[test]
    fn a_pipe_that_somebody_made_non_blocking_still_gets_every_line() {
        let registry = registry();
        let (mut reader, writer) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let file = File::from(OwnedFd::from(writer));
        let log = AccessLog::start_on(file, Target::Stdout, 1 << 20, &registry).unwrap();
        log.handle().write(&b"0123456\n".repeat(1 << 16)); // 512 KiB: more than the pipe holds
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            received
        });
        assert!(log.shutdown(Duration::from_secs(20)));
        assert_eq!(line_count(&reading.join().unwrap()), 1 << 16);
        assert_eq!(dropped(&registry), 0);
    }
}
