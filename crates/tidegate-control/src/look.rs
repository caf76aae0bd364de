//! Whether files hold what they have to, asked before anything starts, so that the answer stands beside the line that names them.

use crate::{secrets, tls};
use std::path::Path;
use tidegate_config::Holds;

/// The error is why files do not hold that, for people; what is remarkable though they do, that something has had its time, comes back.
pub fn look(holds: &Holds) -> Result<Option<String>, String> {
    match holds {
        Holds::Secret(secret) => secrets::look(secret).map(|()| None).map_err(|error| error.to_string()),
        Holds::Lines(path) => look_at_folder(path).map(|()| None),
        Holds::Certificate(_) | Holds::Clients(_) | Holds::Roots(_) | Holds::UpdateKey(_) => tls::look(holds),
    }
}

/// Of a file that may not be there yet.
fn look_at_folder(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.map(Path::metadata) {
        Some(Ok(found)) if !found.is_dir() => Err(format!("{} is in no folder", path.display())),
        Some(Ok(_)) if path.is_dir() => Err(format!("{} is a folder", path.display())),
        None | Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(format!("the folder of {} cannot be used: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_config::Secret;

    #[test]
    fn a_secret_and_a_log_are_looked_for_before_they_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("short"), "abc").unwrap();
        std::fs::write(at("long"), "abcdefghijklmnop").unwrap();
        let said = |holds: &Holds| look(holds).unwrap_err();
        assert_eq!(look(&Holds::Secret(Secret::File(at("long")))), Ok(None));
        assert!(said(&Holds::Secret(Secret::File(at("short")))).contains("has 3 bytes"));
        assert!(said(&Holds::Secret(Secret::File(at("none")))).contains("cannot be read"));
        assert!(said(&Holds::Secret(Secret::Environment("TIDEGATE_NOT_SET".into()))).contains("not set"));
        assert_eq!(look(&Holds::Lines(at("access.log"))), Ok(None));
        assert!(said(&Holds::Lines(at("none/access.log"))).contains("cannot be used"));
        assert!(said(&Holds::Lines(at("long/access.log"))).contains("in no folder"));
        assert!(said(&Holds::Lines(folder.path().into())).contains("is a folder"));
    }
}
