//! How much memory this process may use. Knows nothing of what it is used for.
//!
//! Read from what says so on Linux: the machine, the control groups that hold the process (both versions), and its own
//! limits. What cannot be read sets no limit.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};

/// In bytes: the least of all that sets a limit; `None`: nothing known does.
pub fn usable_memory() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = limit_files(&groups, Path::new(CONTROL_GROUPS)).filter_map(|file| read_limit(&file));
    let own = [Resource::Data, Resource::As].into_iter().filter_map(|resource| getrlimit(resource).current);
    own.chain(of_groups).chain(physical_memory()).min()
}

const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// All files that may say how much memory the groups in `groups`, the text of `/proc/self/cgroup`, may use: their own, and
/// those of the groups around them. In a container the path is often that of the host, of which only the end, or nothing, is
/// seen; the files at the root are then the container's own.
fn limit_files<'a>(groups: &'a str, root: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
    groups.lines().flat_map(move |line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (root, names): (_, &[&str]) = match controllers {
            "" => (root.to_owned(), &["memory.max", "memory.high"]),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), &["memory.limit_in_bytes"])
            }
            _ => (PathBuf::new(), &[]),
        };
        let around = Path::new(path).ancestors().filter_map(|path| path.strip_prefix("/").ok());
        let folders: Vec<_> = around.map(|path| root.join(path)).collect();
        folders.into_iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)))
    })
}

/// `max`, a file that is not there, and what is no number are no limit.
fn read_limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn physical_memory() -> Option<u64> {
    in_kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn in_kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(groups: &str) -> Vec<String> {
        limit_files(groups, Path::new("/g")).map(|file| file.display().to_string()).collect()
    }

    #[test]
    fn the_groups_around_the_own_one_limit_it_too() {
        let unified = ["/g/a/b/memory.max", "/g/a/b/memory.high", "/g/a/memory.max", "/g/a/memory.high"];
        assert_eq!(files("0::/a/b\n")[..4], unified);
        assert_eq!(files("0::/\n"), ["/g/memory.max", "/g/memory.high"]);
    }

    #[test]
    fn the_first_version_says_it_for_each_controller_apart() {
        let groups = "5:devices:/d\n4:hugetlb,memory:/a\n1:name=systemd:/s\n";
        assert_eq!(files(groups), ["/g/memory/a/memory.limit_in_bytes", "/g/memory/memory.limit_in_bytes"]);
        assert_eq!(files("nonsense\n\n::\n"), [""; 0]);
    }

    #[test]
    fn only_numbers_are_limits() {
        let folder = std::env::temp_dir().join(format!("tidegate-limit-{}", std::process::id()));
        for (text, limit) in [("max\n", None), ("67108864\n", Some(64 << 20)), ("", None), ("-1", None)] {
            fs::write(&folder, text).unwrap();
            assert_eq!(read_limit(&folder), limit, "{text:?}");
        }
        fs::remove_file(&folder).unwrap();
        assert_eq!(read_limit(&folder), None);
    }

    #[test]
    fn the_machine_has_memory_and_the_process_may_use_no_more() {
        let all = physical_memory().unwrap();
        assert!(all > 64 << 20);
        assert!(usable_memory().unwrap() <= all);
        assert_eq!(in_kib("MemFree: 1 kB\nMemTotal:   24 kB\n", "MemTotal:"), Some(24 << 10));
        assert_eq!(in_kib("MemTotal: x kB\n", "MemTotal:"), None);
    }
}
