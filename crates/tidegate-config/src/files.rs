//! Files that have to hold something, and where they are named. Whether they do is asked of whoever can read them.

use std::path::PathBuf;

use crate::problem::{Problem, Span};
use crate::walk::Walk;
use crate::{CertificateFiles, ClientAuth, Secret};

/// Files, and what they have to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A certificate and its key.
    Certificate(CertificateFiles),
    /// Who vouches for clients, and what they have taken back.
    Clients(ClientAuth),
    /// PEM: certificates that those of others may lead to.
    Roots(PathBuf),
    /// What updates of the DNS are signed with.
    UpdateKey(PathBuf),
    /// What sticky cookies are made with: in a file, or in a variable.
    Secret(Secret),
    /// Lines that are yet to be written: its folder has to be there.
    Lines(PathBuf),
}

/// Looks into files; the error is why they do not hold what they have to, for people. What is to be said of them though they do comes back.
pub type Look<'a> = &'a dyn Fn(&Holds) -> Result<Option<String>, String>;

/// Files that are named.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) holds: Holds,
    pub(crate) key: String,
    pub(crate) span: Span,
}

/// Reports those that do not hold what they have to.
pub(crate) fn look(walk: &mut Walk, look: Look<'_>) {
    for Named { holds, key, span } in std::mem::take(&mut walk.files) {
        match look(&holds) {
            Ok(None) => {}
            Ok(Some(remark)) => walk.report(Problem::warning(span, remark)),
            Err(why) => walk.report(Problem::error(span, format!("`{key}` cannot be used")).label(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Style};

    #[test]
    fn a_file_that_does_not_hold_what_it_has_to_is_told_of_where_it_is_named() {
        let text = "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['a.example.com']\nca_root = 'a.pem'\n\
                    dns = { server = 'ns.test', key = 'b.key' }\n";
        let look = |holds: &Holds| match holds {
            Holds::Roots(path) => Err(format!("{} holds a poem", path.display())),
            _ => Ok(None),
        };
        let report = Config::parse_bytes("test.toml", text.as_bytes(), &|_| None, &look).unwrap_err();
        let shown = report.render(Style::Plain);
        assert!(shown.contains("`listener.tls.acme.ca_root` cannot be used"), "{shown}");
        assert!(shown.contains("test.toml:6:11") && shown.contains("a.pem holds a poem"), "{shown}");
        assert_eq!(report.error_count(), 1);
    }
}
