//! Every key of the configuration: its name, what it takes, its default and what it means.
//!
//! The one place where keys are listed. The walker refuses what is not here; the JSON Schema and the reference in
//! docs/ are made from it; tests hold that each default changes nothing and each example something.

mod balance;
mod cluster;
mod endpoint_tls;
mod health;
mod kinds;
mod limit;
mod passage;
mod rate_limit;
mod retry;
mod root;
mod route;
mod tables;
mod timeout;
mod tls;

use crate::units;

pub(crate) use cluster::{CLUSTER, ENDPOINT};
pub(crate) use passage::COURSE;
pub(crate) use root::{LISTENER, ROOT};
pub(crate) use route::ROUTE;
pub(crate) use tables::ALL;
pub(crate) use tls::CERTIFICATE;

/// A table and the keys it may hold.
#[derive(Debug)]
pub(crate) struct Table {
    /// Unique, for the schema.
    pub(crate) name: &'static str,
    /// As written in a file: `[timeout]`.
    pub(crate) title: &'static str,
    /// A sentence or two.
    pub(crate) doc: &'static str,
    /// In the order of the reference.
    pub(crate) keys: &'static [Key],
}

/// A key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) takes: Kind,
    pub(crate) default: Default,
    /// A value in TOML, not the default.
    pub(crate) example: &'static str,
    pub(crate) doc: &'static str,
}

const fn key(
    name: &'static str,
    takes: Kind,
    default: Default,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key { name, takes, default, example, doc }
}

/// What stands when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Default {
    /// The value of the same key in this table.
    Inherited(&'static str),
    /// It must be given.
    Required,
    /// This value, in TOML.
    Value(&'static str),
    /// What the words say.
    Words(&'static str),
}

/// What a key takes.
#[derive(Debug)]
pub(crate) enum Kind {
    AnyOf(&'static [Kind]),
    Boolean,
    /// `"2s"`.
    Duration,
    Integer {
        min: u32,
        max: u32,
    },
    List(&'static Kind),
    /// A table whose keys the user names.
    MapOf(&'static Kind),
    /// `"64KiB"`.
    Size {
        min: u64,
        max: u64,
    },
    Table(&'static Table),
    /// Any text; the words say which.
    Text(&'static str),
    /// One of these texts.
    Words(&'static [&'static str]),
}

impl Table {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Kind {
    /// What it takes, for people.
    pub(crate) fn describe(&self) -> String {
        join_or(self.alternatives().into_iter().flat_map(Self::words_for_one))
    }

    /// The same behind a flag, where nobody can write a table or a list.
    pub(crate) fn describe_argument(&self) -> String {
        let is_text = |kind: &&Self| !matches!(kind, Self::List(_) | Self::MapOf(_) | Self::Table(_));
        join_or(self.alternatives().into_iter().filter(is_text).flat_map(Self::words_for_one))
    }

    /// What it takes, for people; each word of a choice apart.
    fn words_for_one(&self) -> Vec<String> {
        match self {
            Self::AnyOf(kinds) => kinds.iter().flat_map(Self::words_for_one).collect(),
            Self::Boolean => vec!["`true` or `false`".into()],
            Self::Duration => vec!["a duration like \"2s\"".into()],
            Self::Integer { min, max } => vec![format!("a number from {min} to {max}")],
            Self::List(kind) => vec![format!("a list of {}", kind.describe_many())],
            Self::MapOf(kind) => vec![format!("a table of {}", kind.describe_many())],
            Self::Size { .. } => vec!["a size like \"64KiB\"".into()],
            Self::Table(_) => vec!["a table".into()],
            Self::Text(words) => vec![(*words).into()],
            Self::Words(words) => words.iter().map(|word| format!("{word:?}")).collect(),
        }
    }

    fn describe_many(&self) -> String {
        match self {
            Self::AnyOf(kinds) => join_or(kinds.iter().map(Self::describe_many)),
            Self::Boolean => "booleans".into(),
            Self::Table(_) => "tables".into(),
            Self::Integer { .. } => "numbers".into(),
            Self::Text(words) => plural(words),
            Self::Duration | Self::List(_) | Self::MapOf(_) | Self::Size { .. } | Self::Words(_) => {
                self.describe()
            }
        }
    }

    /// This kind and all it may stand for, at this place.
    pub(crate) fn alternatives(&self) -> Vec<&Self> {
        match self {
            Self::AnyOf(kinds) => kinds.iter().flat_map(Self::alternatives).collect(),
            _ => vec![self],
        }
    }

    /// The table that it takes, if it takes one.
    pub(crate) fn table(&self) -> Option<&'static Table> {
        self.alternatives().into_iter().find_map(|kind| match kind {
            Self::Table(table) => Some(*table),
            _ => None,
        })
    }

    /// The smallest and the largest number.
    pub(crate) fn integer_range(&self) -> Option<(u32, u32)> {
        self.alternatives().into_iter().find_map(|kind| match kind {
            Self::Integer { min, max } => Some((*min, *max)),
            _ => None,
        })
    }

    /// The smallest and the largest size in bytes.
    pub(crate) fn size_range(&self) -> Option<(u64, u64)> {
        self.alternatives().into_iter().find_map(|kind| match kind {
            Self::Size { min, max } => Some((*min, *max)),
            _ => None,
        })
    }

    /// All words.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        let words = self.alternatives().into_iter().filter_map(|kind| match kind {
            Self::Words(words) => Some(*words),
            _ => None,
        });
        words.flatten().copied().collect()
    }

    /// The range in words, when there is one worth a word.
    pub(crate) fn describe_range(&self) -> Option<String> {
        self.size_range()
            .map(|(min, max)| format!("{} to {}", units::print_size(min), units::print_size(max)))
    }
}

/// "a network like X" becomes "networks".
fn plural(words: &str) -> String {
    let noun = words.strip_prefix("an ").or_else(|| words.strip_prefix("a ")).unwrap_or(words);
    let noun = noun.split_once(' ').map_or(noun, |(noun, _)| noun);
    let ending = if noun.ends_with('s') { "es" } else { "s" };
    format!("{noun}{ending}")
}

/// `a, b or c`.
pub(crate) fn join_or(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    match items.pop() {
        None => String::new(),
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} or {last}", items.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse("test.toml", text, &|_| None)
            .map(|(config, _)| config)
            .map_err(|report| report.to_string())
    }

    fn each_key() -> impl Iterator<Item = (&'static Table, &'static Key)> {
        ALL.iter().flat_map(|table| table.keys.iter().map(|key| (*table, key)))
    }

    /// A text after which a line `key = value` is that key of that table, in a configuration that holds with it.
    #[allow(clippy::too_many_lines, reason = "a list, to be read like one")]
    fn frame(table: &str, key: &str) -> &'static str {
        match (table, key) {
            ("root", "listen") => "to = 'h:1'\n",
            ("root", "to") => "listen = ':80'\n",
            ("root", _) => "listen = ':80'\nto = 'h:1'\n",
            ("tls", "cert") => "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\nkey = 'k'\n",
            ("tls", "key") => "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'c'\n",
            ("acme", "hosts") => "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\n",
            ("dns", "command" | "server") => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['a.example.com']\n[listener.tls.acme.dns]\n"
            }
            ("dns", _) => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['a.example.com']\n[listener.tls.acme.dns]\n\
                 server = 'ns.test'\n"
            }
            ("acme", _) => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.acme]\nhosts = ['example.com']\n"
            }
            ("internal", _) => "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls.internal]\n",
            ("tls", "client_auth" | "client_crl" | "client_chain") => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'c'\nkey = 'k'\nclient_ca = 'a'\n"
            }
            ("tls", _) => "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'c'\nkey = 'k'\n",
            ("hsts", "preload") => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'c'\nkey = 'k'\n[listener.tls.hsts]\n\
                 include_subdomains = true\n"
            }
            ("hsts", _) => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'c'\nkey = 'k'\n[listener.tls.hsts]\n"
            }
            ("certificate", "cert") => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[[listener.tls.certificates]]\nkey = 'k'\n"
            }
            ("certificate", _) => {
                "to = 'h:1'\n[[listener]]\nbind = ':443'\n[[listener.tls.certificates]]\ncert = 'c'\n"
            }
            ("listener", "tcp" | "sni") => {
                "to = 'h:1'\n[cluster.db]\nendpoints = ['h:2']\n[[listener]]\nbind = ':80'\n"
            }
            ("course", "to") => {
                "to = 'h:1'\n[cluster.db]\nendpoints = ['h:2']\n[[listener]]\nbind = ':80'\n[listener.tcp]\n"
            }
            ("course", _) => {
                "to = 'h:1'\n[cluster.db]\nendpoints = ['h:2']\n[[listener]]\nbind = ':80'\n[listener.sni.'*']\nto = 'db'\n"
            }
            ("course_timeout", _) => {
                "to = 'h:1'\n[cluster.db]\nendpoints = ['h:2']\n[[listener]]\nbind = ':80'\ntcp.to = 'db'\n[listener.tcp.timeout]\n"
            }
            ("listener", "bind") => "to = 'h:1'\n[[listener]]\n",
            ("listener", _) => "to = 'h:1'\n[[listener]]\nbind = ':80'\n",
            ("route", "to" | "answer" | "redirect") => "listen = ':80'\n[[route]]\n",
            ("route", _) => "listen = ':80'\n[[route]]\nto = 'h:1'\n",
            ("path", _) => "listen = ':80'\n[[route]]\nto = 'h:1'\n[route.path]\n",
            ("answer", _) => "listen = ':80'\n[[route]]\n[route.answer]\n",
            ("redirect", "to") => "listen = ':80'\n[[route]]\n[route.redirect]\n",
            ("redirect", _) => "listen = ':80'\n[[route]]\n[route.redirect]\nto = '/new'\n",
            ("route_timeout", _) => "listen = ':80'\n[[route]]\nto = 'h:1'\n[route.timeout]\n",
            ("route_limit", _) => "listen = ':80'\n[[route]]\nto = 'h:1'\n[route.limit]\n",
            ("cluster", "endpoints") => "listen = ':80'\nto = 'a'\n[cluster.a]\n",
            ("cluster", _) => "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['h:1']\n",
            ("cluster_limit", _) => {
                "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['h:1']\n[cluster.a.limit]\n"
            }
            ("endpoint", "address") => "listen = ':80'\nto = 'a'\n[[cluster.a.endpoints]]\n",
            ("endpoint", _) => "listen = ':80'\nto = 'a'\n[[cluster.a.endpoints]]\naddress = 'h:1'\n",
            ("balance", "key" | "bound_percent") => {
                "listen = ':80'\nto = 'h:1'\n[balance]\nalgorithm = 'rendezvous'\n"
            }
            ("balance", "bound_by") => {
                "listen = ':80'\nto = 'h:1'\n[balance]\nalgorithm = 'maglev'\nbound_percent = 150\n"
            }
            ("balance", "in_flight_max") => "listen = ':80'\nto = 'h:1'\n[balance]\nalgorithm = 'first'\n",
            ("balance", "choices") => "listen = ':80'\nto = 'h:1'\n[balance]\nalgorithm = 'random'\n",
            ("balance", "peers") => "listen = ':80'\nto = 'h:1'\n[balance]\nalgorithm = 'adaptive'\n",
            ("balance", _) => "listen = ':80'\nto = 'h:1'\n[balance]\n",
            ("sticky", "bound_by") => "listen = ':80'\nto = 'h:1'\n[sticky]\nbound_percent = 150\n",
            ("sticky", _) => "listen = ':80'\nto = 'h:1'\n[sticky]\n",
            ("hash_key", _) => "listen = ':80'\nto = 'h:1'\nbalance.algorithm = 'hash'\n[balance.key]\n",
            ("rate_limit", "requests") => "listen = ':80'\nto = 'h:1'\n[rate_limit]\n",
            ("rate_limit", _) => "listen = ':80'\nto = 'h:1'\n[rate_limit]\nrequests = '10/s'\n",
            ("rate_key", _) => "listen = ':80'\nto = 'h:1'\nrate_limit.requests = '10/s'\n[rate_limit.key]\n",
            ("endpoint_tls", "cert") => {
                "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['h:1']\n[cluster.a.tls]\nkey = 'k'\n"
            }
            ("endpoint_tls", "key") => {
                "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['h:1']\n[cluster.a.tls]\ncert = 'c'\n"
            }
            ("endpoint_tls", _) => {
                "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['h:1']\n[cluster.a.tls]\n"
            }
            ("health", "path" | "host" | "expect") => "listen = ':80'\nto = 'h:1'\n[health]\ntype = 'http'\n",
            ("health", "service") => {
                "listen = ':80'\nto = 'h:1'\nendpoint_http2 = true\n[health]\ntype = 'grpc'\n"
            }
            ("health", _) => "listen = ':80'\nto = 'h:1'\n[health]\n",
            ("passive", _) => "listen = ':80'\nto = 'h:1'\n[passive]\n",
            ("breaker", _) => "listen = ':80'\nto = 'h:1'\n[breaker]\n",
            ("timeout", _) => "listen = ':80'\nto = 'h:1'\n[timeout]\n",
            ("limit", _) => "listen = ':80'\nto = 'h:1'\n[limit]\n",
            ("retry", _) => "listen = ':80'\nto = 'h:1'\n[retry]\n",
            ("retry_budget", _) => "listen = ':80'\nto = 'h:1'\n[retry.budget]\n",
            ("hedge", _) => "listen = ':80'\nto = 'h:1'\n[hedge]\n",
            ("log", _) => "listen = ':80'\nto = 'h:1'\n[log]\n",
            ("admin", _) => "listen = ':80'\nto = 'h:1'\n[admin]\n",
            _ => panic!("the table {table} needs a frame"),
        }
    }

    #[test]
    fn each_example_is_accepted_and_changes_something() {
        for (table, key) in each_key() {
            let frame = frame(table.name, key.name);
            let with = parse(&format!("{frame}{} = {}\n", key.name, key.example));
            let with = with.unwrap_or_else(|report| panic!("{}.{}:\n{report}", table.name, key.name));
            if let Ok(without) = parse(frame) {
                assert_ne!(with, without, "{}.{} does nothing", table.name, key.name);
            }
        }
    }

    #[test]
    fn writing_a_default_out_changes_nothing() {
        for (table, key) in each_key() {
            let Default::Value(value) = key.default else { continue };
            let frame = frame(table.name, key.name);
            let with = parse(&format!("{frame}{} = {value}\n", key.name));
            assert_eq!(with, parse(frame), "{}.{}", table.name, key.name);
        }
    }

    #[test]
    fn each_table_says_its_own_keys_and_refuses_another() {
        for table in ALL {
            let frame = frame(table.name, "");
            let report = parse(&format!("{frame}no_such_key = 1\n")).expect_err(table.name);
            assert!(report.contains("unknown key `no_such_key`"), "{}:\n{report}", table.name);
        }
    }
}
