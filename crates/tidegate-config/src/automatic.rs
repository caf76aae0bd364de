//! What follows from naming a host: which certificates an authority is asked for, and where to listen if nobody says.

use crate::check::print_host;
use crate::problem::Problem;
use crate::read::{Draft, Placed, RouteDraft};
use crate::tls::ACME_CA;
use crate::walk::Walk;
use crate::{Acme, Bind, HostPattern, Listener, Tls};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

/// No public authority vouches for what is below these (RFC 6761, 6762 appendix G, 7686, 8375, 9476, and what people use in
/// their place).
const PRIVATE: [&str; 15] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
    "test",
];

/// A public host and no listener: HTTPS with automatic certificates, and what leads there.
pub(crate) fn listen_for_public_hosts(draft: &mut Draft) {
    if draft.incomplete
        || !draft.listeners.is_empty()
        || !hosts(&draft.routes).iter().any(|host| is_public(host))
    {
        return;
    }
    let tls = Tls { acme: Some(Acme::default()), ..Tls::default() };
    let listener = |port, tls, redirect_https| Listener {
        bind: Bind::Tcp { host: None, port },
        tls,
        redirect_https,
        ..draft.plain.clone()
    };
    let listeners = [listener(443, Some(tls), None), listener(80, None, Some(443))];
    draft.listeners = listeners.map(|value| Placed { value, span: 0..0 }).into();
}

/// What `internal` is for besides the hosts of the routes: this machine, as one calls it from there.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Hosts that `acme` and `internal` do not name are those of the routes.
pub(crate) fn name_hosts(walk: &mut Walk, draft: &mut Draft) {
    let (named, all) = (hosts(&draft.routes), all_hosts(&draft.routes));
    let known: HashSet<_> = named.iter().collect();
    let is_provable = |host: &&String| host.starts_with("*.") || known.contains(host);
    let provable: Vec<_> = all.iter().filter(is_provable).cloned().collect();
    let mut left_out = BTreeSet::new();
    for listener in &mut draft.listeners {
        if let Some(internal) = listener.value.tls.as_mut().and_then(|tls| tls.internal.as_mut())
            && internal.hosts.is_empty()
        {
            internal.hosts.clone_from(&all);
        }
        let Some(acme) = listener.value.tls.as_mut().and_then(|tls| tls.acme.as_mut()) else { continue };
        if !acme.hosts.is_empty() {
            continue;
        }
        acme.hosts.clone_from(if acme.dns.is_some() { &provable } else { &named });
        if acme.ca == ACME_CA {
            left_out.extend(acme.hosts.extract_if(.., |host| !is_public(host))); // it knows no others
        }
        if acme.hosts.is_empty() {
            let title = "nothing says for which hosts there should be certificates";
            let help = "add `host = \"example.com\"` to a route, or `hosts = [\"example.com\"]` to `acme`; for all hosts below \
                        one, `dns`; for hosts that the internet does not know, `tls = \"internal\"`";
            walk.report(Problem::error(listener.span.clone(), title).help(help));
        }
    }
    tell_of(walk, &left_out, &draft.routes);
}

/// Whoever names `app.internal` knows that; but these look like any other host.
fn tell_of(walk: &mut Walk, left_out: &BTreeSet<String>, routes: &[RouteDraft]) {
    let surprises = |host: &&String| host.contains('_') || host.rsplit('.').next() == Some("onion");
    for host in left_out.iter().filter(surprises) {
        let names = |route: &&RouteDraft| route.matcher.hosts.iter().any(|one| print_host(one) == *host);
        let span = routes.iter().find(names).map_or(0..0, |route| route.span.clone());
        let why = unknown_to_public_authorities(host).unwrap_or_default();
        let title = format!("there will be no certificate for {host:?}: {why}");
        walk.report(Problem::warning(span, title).help(ELSEWHERE));
    }
}

/// What an authority gives for a host has one place in a folder, and would be shown as what another one gave.
pub(crate) fn authorities_apart(walk: &mut Walk, listeners: &[Placed<Listener>]) {
    let mut first: HashMap<_, (&Placed<Listener>, &Acme)> = HashMap::new();
    for listener in listeners {
        let Some(acme) = listener.value.tls.as_ref().and_then(|tls| tls.acme.as_ref()) else { continue };
        let contested = acme.hosts.iter().find_map(|host| {
            let place = first.entry((&acme.folder, host)).or_insert((listener, acme));
            (place.1.ca != acme.ca).then_some((host, *place))
        });
        if let Some((host, (other, asked))) = contested {
            let title = format!(
                "two authorities are asked for certificates for {host:?}, which are kept in one place"
            );
            let help = "give one of the two a `folder` of its own: `acme = { folder = \"/var/lib/tidegate/staging\", … }`";
            let problem = Problem::error(listener.span.clone(), title)
                .label(format!("here it is {}", acme.ca))
                .context(other.span.clone(), format!("here it is {}", asked.ca));
            walk.report(problem.help(help));
        }
    }
}

/// Of all routes, each once, in order; an authority hands out none for others.
fn hosts(routes: &[RouteDraft]) -> Vec<String> {
    let name = |host: &HostPattern| match host {
        HostPattern::Exact(name) if is_name(name) => Some(name.clone()),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => None,
    };
    each_once(routes.iter().flat_map(|route| &route.matcher.hosts).filter_map(name))
}

/// Whoever makes certificates itself is not choosy.
fn all_hosts(routes: &[RouteDraft]) -> Vec<String> {
    let named = routes.iter().flat_map(|route| &route.matcher.hosts).map(print_host);
    let all = named.chain(HERE.map(str::to_owned));
    each_once(all.map(|host| host.trim_matches(['[', ']']).to_owned()))
}

fn each_once(hosts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    hosts.filter(|host| seen.insert(host.clone())).collect()
}

fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<IpAddr>().is_err()
}

fn is_public(host: &str) -> bool {
    unknown_to_public_authorities(host).is_none()
}

/// What to do about a host that they do not know.
pub(crate) const ELSEWHERE: &str = "name the authority that does give certificates for it, `ca = \"https://ca.internal/directory\"`, or have one made here, \
                                    `tls = \"internal\"`";

/// Why an order for this host would always be in vain; `None`: it would not.
pub(crate) fn unknown_to_public_authorities(host: &str) -> Option<String> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let Some((_, last)) = name.rsplit_once('.') else {
        return Some("no public authority vouches for a name of one label".to_owned());
    };
    if PRIVATE.contains(&last) {
        return Some(format!("no public authority vouches for names below `.{last}`"));
    }
    // RFC 5280 §4.2.1.6: names of hosts, and those have letters, digits and hyphens.
    name.contains('_').then(|| "public authorities put no `_` into certificates".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::{Config, Listener};

    fn parse(text: &str) -> Result<Config, String> {
        let parsed = Config::parse("test.toml", text, &|_| None);
        parsed.map(|(config, _)| config).map_err(|report| report.to_string())
    }

    fn hosts(listener: &Listener) -> Vec<&str> {
        let acme = listener.tls.as_ref().and_then(|tls| tls.acme.as_ref());
        acme.map(|acme| acme.hosts.iter().map(String::as_str).collect()).unwrap_or_default()
    }

    #[test]
    fn a_public_host_and_no_listener_is_https_and_what_leads_there() {
        let route =
            "[[route]]\nhost = [\"Shop.example.com\", \"*.example.com\", \"10.0.0.1\"]\nto = \"h:1\"\n";
        let config = parse(route).unwrap();
        let [https, plain] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
        assert_eq!((https.bind.to_string(), hosts(https)), (":443".into(), vec!["shop.example.com"]));
        assert_eq!((plain.bind.to_string(), plain.redirect_https), (":80".into(), Some(443)));
        assert!(plain.tls.is_none());
        let shown = parse(&config.to_toml(1)).unwrap();
        assert_eq!(shown, config, "and can be shown and read again");
    }

    #[test]
    fn nobody_is_asked_for_hosts_that_mean_nothing_on_the_internet() {
        for host in [
            "localhost",
            "app.test",
            "app.internal",
            "10.0.0.1",
            "*.example.com",
            "my_app.example.com",
            "expyuzz4wqqyqhjn.onion",
        ] {
            let report = parse(&format!("[[route]]\nhost = \"{host}\"\nto = \"h:1\"\n")).unwrap_err();
            assert!(report.contains("nothing listens"), "{host}: {report}");
        }
    }

    #[test]
    fn hosts_that_no_public_authority_certifies_are_left_out_and_told_of_where_that_surprises() {
        let route = "[[route]]\nhost = [\"a.example.com\", \"my_app.example.com\", \"x.onion\", \"app.internal\"]\nto = \"h:1\"\n";
        let listener = |acme: &str| format!("[[listener]]\nbind = \":443\"\ntls = {{ acme = {acme} }}\n");
        for (listeners, asked, told) in [
            (String::new(), vec!["a.example.com"], 2),
            (listener("true"), vec!["a.example.com"], 2),
            (
                listener("{ ca = \"https://ca.test/dir\" }"),
                vec!["a.example.com", "my_app.example.com", "x.onion", "app.internal"],
                0,
            ),
        ] {
            let text = format!("{route}{listeners}");
            let (config, warnings) = Config::parse("test.toml", &text, &|_| None).unwrap();
            assert_eq!(hosts(&config.listeners[0]), asked, "{text}");
            let titles: Vec<_> = warnings.iter().map(crate::Diagnostic::title).collect();
            assert_eq!(titles.len(), told, "{text}: {titles:?}");
            assert!(titles.iter().all(|title| title.contains("no certificate")), "{titles:?}");
        }
    }

    #[test]
    fn hosts_that_the_usual_authority_would_always_refuse_cannot_be_named() {
        for (host, is_public) in [
            ("a.example.com", true),
            ("xn--bcher-kva.example", false),
            ("localhost", false),
            ("*.com", false),
            ("my_app.example.com", false),
            ("app.test", false),
            ("x.onion", false),
        ] {
            let text = |ca: &str| {
                format!(
                    "to = \"h:1\"\n[[listener]]\nbind = \":443\"\ntls = {{ acme = {{ {ca} hosts = [\"{host}\"], \
                     dns = {{ command = [\"hook\"] }} }} }}\n"
                )
            };
            let said = parse(&text(""));
            assert_eq!(said.is_ok(), is_public, "{host}");
            assert!(
                said.err().is_none_or(|said| said.contains("public authorit") && said.contains("`ca = "))
            );
            let own = parse(&text("ca = \"https://ca.test/dir\","));
            assert_eq!(hosts(&own.unwrap().listeners[0]), [host], "an authority of one's own knows them");
        }
    }

    #[test]
    fn wildcards_of_the_routes_have_certificates_where_records_can_be_shown() {
        let text = |dns: &str| {
            format!(
                "[[route]]\nhost = [\"*.example.com\", \"example.com\", \"10.0.0.1\"]\nto = \"h:1\"\n\
                 [[listener]]\nbind = \":443\"\ntls = {{ acme = {{ {dns} }} }}\n"
            )
        };
        assert_eq!(hosts(&parse(&text("")).unwrap().listeners[0]), ["example.com"]);
        let config = parse(&text("dns = { command = [\"hook\"] }")).unwrap();
        assert_eq!(hosts(&config.listeners[0]), ["*.example.com", "example.com"]);
        assert_eq!(parse(&config.to_toml(1)).unwrap(), config, "and can be shown and read again");
    }

    #[test]
    fn two_authorities_give_certificates_for_one_host_only_to_folders_of_their_own() {
        let text = |first: &str, second: &str| {
            format!(
                "[[route]]\nhost = \"example.com\"\nto = \"h:1\"\n[[listener]]\nbind = \":443\"\ntls = {{ acme = {first} }}\n\
                 [[listener]]\nbind = \":8443\"\ntls = {{ acme = {second} }}\n"
            )
        };
        for (first, second, are_apart) in [
            ("true", "{ ca = \"https://staging.test/dir\" }", false),
            ("true", "{ ca = \"https://staging.test/dir\", folder = \"/srv/staging\" }", true),
            ("true", "{ ca = \"https://staging.test/dir\", hosts = [\"www.example.com\"] }", true),
            ("true", "{ email = \"ops@example.com\" }", true),
            ("{ folder = \"/srv/a\" }", "{ folder = \"/srv/a/\", ca = \"https://staging.test/dir\" }", false),
        ] {
            let parsed = parse(&text(first, second));
            let is_told =
                parsed.is_err_and(|report| report.contains("two authorities") && report.contains(":8443"));
            assert_eq!(!is_told, are_apart, "{first} {second}");
        }
    }

    #[test]
    fn internal_without_hosts_is_for_all_of_the_routes_and_this_machine() {
        let route = "[[route]]\nhost = [\"app.test\", \"*.app.test\", \"[::2]\"]\nto = \"h:1\"\n";
        let config = parse(&format!("{route}[[listener]]\nbind = \":443\"\ntls = \"internal\"\n")).unwrap();
        let internal = config.listeners[0].tls.as_ref().and_then(|tls| tls.internal.as_ref()).unwrap();
        assert_eq!(internal.hosts, ["app.test", "*.app.test", "::2", "localhost", "127.0.0.1", "::1"]);
        assert_eq!(parse(&config.to_toml(1)).unwrap(), config, "and can be shown and read again");
    }

    #[test]
    fn acme_without_hosts_is_for_those_of_the_routes_and_needs_one() {
        let listener = "[[listener]]\nbind = \":443\"\ntls = { acme = true }\n";
        let config =
            parse(&format!("{listener}[[route]]\nhost = [\"example.com\", \"localhost\"]\nto = \"h:1\"\n"))
                .unwrap();
        assert_eq!(hosts(&config.listeners[0]), ["example.com"]);
        for nobody in ["", "[[route]]\nhost = \"app.test\"\n"] {
            let report = parse(&format!("{listener}{nobody}to = \"h:1\"\n")).unwrap_err();
            assert!(report.contains("for which hosts"), "{report}");
        }
    }
}
