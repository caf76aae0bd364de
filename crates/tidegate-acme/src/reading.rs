//! Files that people name, read whole: nothing that would be waited for, or that has no end. Knows not what they hold.

use rustix::fs::OFlags;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// What a certificate with its chain, or a key, never comes near to.
pub const CERTIFICATE_MAX: u64 = 1024 * 1024;

/// The same of many authorities, and of what they have taken back.
pub const BUNDLE_MAX: u64 = 64 * 1024 * 1024;

/// What a file holds, of at most so many bytes; what is no file, links to one aside, is not even opened. The error says what to do.
pub fn read_file(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    must_be_a_file(std::fs::metadata(path)?.file_type())?;
    // It may have become something else: whoever opens a pipe waits for somebody at its other end.
    let not_waiting = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(not_waiting).open(path)?;
    let found = file.metadata()?;
    must_be_a_file(found.file_type())?;
    if found.len() > max {
        return Err(too_large(max));
    }
    read_whole(&file, max)
}

/// It may grow meanwhile, and some do not know how long they are.
fn read_whole(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() as u64 > max { Err(too_large(max)) } else { Ok(contents) }
}

fn must_be_a_file(found: FileType) -> io::Result<()> {
    let what = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a named pipe",
        found if found.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::other(format!("it is {what}: name a file, or a link to one")))
}

fn too_large(max: u64) -> io::Error {
    let mib = max / (1024 * 1024);
    io::Error::other(format!("it is larger than {mib} MiB: name the file that holds nothing else"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    fn said(path: &Path) -> String {
        read_file(path, CERTIFICATE_MAX).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_file_is_told_of_and_not_waited_for() {
        let scratch = tempfile::tempdir().unwrap();
        let [pipe, socket, zero] = ["pipe", "socket", "zero"].map(|name| scratch.path().join(name));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink("/dev/zero", &zero).unwrap();
        for (path, what) in [
            (scratch.path(), "a folder"),
            (&pipe, "a named pipe"),
            (&socket, "a socket"),
            (&zero, "a device"),
        ] {
            assert_eq!(said(path), format!("it is {what}: name a file, or a link to one"));
        }
        assert!(said(&scratch.path().join("none")).contains("No such file"));
    }

    #[test]
    fn a_link_to_a_file_is_as_good_and_only_so_much_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| scratch.path().join(name));
        symlink(&file, &link).unwrap();
        std::fs::write(&file, b"four").unwrap();
        assert_eq!(read_file(&link, 4).unwrap(), b"four");
        assert!(read_file(&link, 3).unwrap_err().to_string().contains("is larger than"));
        // As it is for a file that has grown since it was measured.
        assert!(read_whole(&File::open(&file).unwrap(), 3).is_err());
        let long = File::create(&file).unwrap();
        long.set_len(CERTIFICATE_MAX + 1).unwrap();
        assert_eq!(said(&file), "it is larger than 1 MiB: name the file that holds nothing else");
        // These say that they are empty.
        assert!(!read_file(Path::new("/proc/self/status"), CERTIFICATE_MAX).unwrap().is_empty());
    }
}
