//! Files that have to hold something, and where they are named. Whether they do is asked of whoever can read them.

use std::path::{Path, PathBuf};

use crate::problem::{Problem, Span};
use crate::walk::Walk;

/// What a file has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// PEM: certificates that those of others may lead to.
    Roots,
    /// What updates of the DNS are signed with.
    UpdateKey,
}

/// Looks into a file; the error is why it does not hold what it has to, for people.
pub type Look<'a> = &'a dyn Fn(Holds, &Path) -> Result<(), String>;

/// A file that is named.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) holds: Holds,
    pub(crate) key: String,
    pub(crate) path: PathBuf,
    pub(crate) span: Span,
}

/// Reports those that do not hold what they have to.
pub(crate) fn look(walk: &mut Walk, look: Look<'_>) {
    for Named { holds, key, path, span } in std::mem::take(&mut walk.files) {
        if let Err(why) = look(holds, &path) {
            walk.report(Problem::error(span, format!("`{key}` cannot be used")).label(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Style};

    #[test]
    fn a_file_that_does_not_hold_what_it_has_to_is_told_of_where_it_is_named() {
        let text = "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['a.test']\nca_root = 'a.pem'\n\
                    dns = { server = 'ns.test', key = 'b.key' }\n";
        let look = |holds: Holds, path: &Path| match holds {
            Holds::Roots => Err(format!("{} holds a poem", path.display())),
            Holds::UpdateKey => Ok(()),
        };
        let report = Config::parse_bytes("test.toml", text.as_bytes(), &|_| None, &look).unwrap_err();
        let shown = report.render(Style::Plain);
        assert!(shown.contains("`listener.tls.acme.ca_root` cannot be used"), "{shown}");
        assert!(shown.contains("test.toml:6:11") && shown.contains("a.pem holds a poem"), "{shown}");
        assert_eq!(report.error_count(), 1);
    }
}
