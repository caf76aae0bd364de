//! Laws: what is shown reads back equal, no input panics, the schema and the reference agree with the walker.
//!
//! It knows nothing of the insides of the crate.

use proptest::prelude::*;
use tidegate_config::{Action, Cluster, Config, Flag, Report, Style, reference, schema};

const RICH: &str = include_str!("rich.toml");

fn parse(text: &str) -> Result<Config, Report> {
    Config::parse("test.toml", text, &|_| None).map(|(config, _)| config)
}

fn reads_back(config: &Config) {
    let shown = config.to_toml(1000);
    match parse(&shown) {
        Ok(again) => assert_eq!(*config, again, "{shown}"),
        Err(report) => panic!("{report}\n{shown}"),
    }
}

#[test]
fn a_shown_configuration_reads_back_equal() {
    reads_back(&parse(RICH).unwrap());
    reads_back(&parse("listen = ':80'\nto = 'localhost:1'").unwrap());
}

#[test]
fn routes_are_named_after_what_they_match_and_endpoints_on_the_spot_after_their_route() {
    let config = parse(RICH).unwrap();
    let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
    let expected = [
        "shop",
        "shop.example.com=/cart/",
        "[::1]/a/b",
        "/a-b",
        "/a.b/",
        "=/ping",
        "old.example.com/",
        "default",
    ];
    assert_eq!(names, expected);
    let clusters: Vec<&str> = config.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(clusters, ["1-a-b", "a-b", "a.b", "app", "default", "plain", "sessions"]);
    assert_eq!(config.cluster("app").unwrap().endpoints[1].weight, 2);
    assert!(config.cluster("none").is_none());
}

#[test]
fn each_cluster_has_a_cookie_of_its_own_unless_the_file_names_it() {
    let text = "listen = ':80'\nto = 'a:1'\nsticky = true\n[[route]]\npath = '/api/'\nto = ['b:1']\n\
        [[route]]\npath = '/web/'\nto = 'web'\n[[route]]\npath = '/shop/'\nto = 'shop'\n\
        [cluster.web]\nendpoints = ['c:1']\n[cluster.shop]\nendpoints = ['d:1']\nsticky = { cookie = 'basket' }\n";
    let config = parse(text).unwrap();
    let cookies = config.clusters.iter().map(|cluster| cluster.sticky.as_ref().unwrap().cookie.as_str());
    assert_eq!(cookies.collect::<Vec<_>>(), ["tidegate_api", "tidegate_default", "basket", "tidegate_web"]);
    reads_back(&config);
}

/// On hosts of their own they do not meet, and routes to the same cluster share it.
#[test]
fn clusters_of_one_site_that_share_a_cookie_are_told_once() {
    let remarks = |sticky: &str, hosts: [&str; 3]| {
        let [web, api, more] = hosts;
        let text = format!(
            "listen = ':80'\nsticky = {sticky}\n[[route]]\n{web}\nto = 'web'\n\
             [[route]]\n{api}\npath = '/api/'\nto = ['b:1']\n[[route]]\n{more}\npath = '/more/'\nto = 'web'\n\
             [[route]]\n{more}\npath = '/other/'\nto = ['d:1']\n[cluster.web]\nendpoints = ['c:1']\n"
        );
        let (_, remarks) = Config::parse("test.toml", &text, &|_| None).unwrap();
        remarks.iter().map(|remark| remark.title().to_owned()).collect::<Vec<_>>()
    };
    let (same, apart) = (["", "", ""], ["host = 'a.example'", "host = 'b.example'", "host = 'c.example'"]);
    let shared = "two clusters of one site share the sticky cookie `own`";
    assert_eq!(remarks("{ cookie = 'own' }", same), [shared]);
    assert_eq!(remarks("{ cookie = 'own' }", apart), [shared], "the last two routes");
    assert!(remarks("true", same).is_empty());
}

/// A request comes to the routes of its host, then to those of wildcards, longer ones first, then to those for any, up to
/// the first that fits.
#[test]
fn a_shared_cookie_is_told_of_where_a_request_for_one_host_may_come_to_both_clusters() {
    let text = |[one, other, more]: [&str; 3]| {
        let sticky = "sticky = { cookie = 'own' }";
        format!(
            "listen = ':80'\n[[route]]\n{one}\nto = 'a:1'\n{sticky}\n[[route]]\n{other}\nto = 'b:1'\n{sticky}\n{more}"
        )
    };
    let (exact, api) = ("host = 'www.a.example'", "host = 'www.a.example'\npath = '/api/'");
    let taken = "[[route]]\nhost = '*.a.example'\nanswer = {}\n";
    for (routes, expected, why) in [
        ([api, "host = '*.a.example'", ""], 1, "what is not below /api/ comes to the wildcard"),
        ([api, "host = '*.example'", ""], 1, "or to a shorter one"),
        (["host = '*.example'", api, ""], 1, "in whichever order they stand"),
        ([api, "", ""], 1, "or to the route for any host"),
        (
            ["host = '*.a.example'\nmethod = 'GET'", "host = '*.example'", ""],
            1,
            "from one wildcard to another",
        ),
        ([api, "host = ['b.example', '*.a.example']", ""], 1, "of several hosts one is enough"),
        (
            [exact, "host = '*.a.example'", ""],
            0,
            "a host of which a route takes everything comes nowhere else",
        ),
        ([exact, "", ""], 0, "nor to the route for any host"),
        ([api, "host = '*.example'", taken], 0, "what stands between takes everything"),
        ([api, "", taken], 0, "before the route for any host, too"),
        ([api, "host = '*.www.a.example'", ""], 0, "the wildcard is for what is below"),
        ([api, "host = '*.b.example'", ""], 0, "another site"),
    ] {
        let (_, remarks) = Config::parse("test.toml", &text(routes), &|_| None).unwrap();
        assert_eq!(remarks.len(), expected, "{why}: {remarks:?}");
    }
}

#[test]
fn a_cookie_that_is_called_as_another_cluster_s_is_by_itself_is_told_of() {
    let text = |cookie: &str| {
        format!(
            "listen = ':80'\nto = 'web'\n[[route]]\npath = '/api/'\nto = 'api:1'\nsticky = {{ cookie = '{cookie}' }}\n\
             [cluster.web]\nendpoints = ['web:1']\nsticky = true\n"
        )
    };
    let titles = |cookie: &str| {
        let (_, remarks) = Config::parse("test.toml", &text(cookie), &|_| None).unwrap();
        remarks.iter().map(|remark| remark.title().to_owned()).collect::<Vec<_>>()
    };
    let shared = "two clusters of one site share the sticky cookie `tidegate_web`";
    assert_eq!((titles("tidegate_web"), titles("own")), (vec![shared.to_owned()], vec![]));
}

#[test]
fn what_the_top_says_is_inherited_and_can_be_overridden() {
    let config = parse(RICH).unwrap();
    let forward = |name: &str| match &config.routes.iter().find(|route| route.name == name).unwrap().action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    };
    assert_eq!(forward("/a-b").timeout, config.timeout.route);
    assert_eq!(forward("shop").timeout.total, None);
    assert_eq!((forward("/a-b").retry.attempts, forward("shop").retry.attempts), (2, 1));
    assert_eq!((forward("/a-b").limit.body_bytes, forward("shop").limit.body_bytes), (Some(10 << 20), None));
    assert_eq!(config.cluster("sessions").unwrap().limit, config.limit.cluster);
    assert_eq!(config.cluster("app").unwrap().limit.upstream_connections, None);
    assert_eq!(config.listeners[0].trusted_proxies.len(), 3);
    assert!(config.listeners[3].trusted_proxies.is_empty());
}

#[test]
fn an_empty_text_and_bytes_that_are_not_text_are_errors() {
    assert_eq!(parse("").unwrap_err().error_count(), 1);
    let report = Config::parse_bytes("x", b"listen = \"\xff\"", &|_| None, &|_| Ok(None)).unwrap_err();
    assert_eq!(report.diagnostics()[0].position(), (1, 11));
}

#[test]
fn flags_and_a_file_make_the_same_configuration() {
    let flag = |name, key, value| Flag { name, key, value };
    let flags = [
        flag("--listen", "listen", ":8888"),
        flag("--to", "to", "localhost:8001"),
        flag("--to", "to", "localhost:8002"),
        flag("--workers", "workers", "2"),
        flag("--connect-timeout", "timeout.connect", "1s"),
        flag("--admin", "admin", "off"),
    ];
    let (config, warnings) = Config::from_flags(&flags).unwrap();
    let text = "listen = ':8888'\nto = ['localhost:8001', 'localhost:8002']\nworkers = 2\nadmin = 'off'\n\
                timeout.connect = '1s'";
    assert_eq!(config, parse(text).unwrap());
    assert!(warnings.is_empty());
}

#[test]
fn a_flag_names_a_single_endpoint_and_dollars_stay() {
    let flags = [
        Flag { name: "--listen", key: "listen", value: "unix:/tmp/${x}" },
        Flag { name: "--to", key: "to", value: "a:1" },
    ];
    let (config, _) = Config::from_flags(&flags).unwrap();
    assert_eq!(config.listeners[0].bind.to_string(), "unix:/tmp/${x}");
    reads_back(&config);
}

#[test]
fn the_reference_in_docs_is_the_one_made_from_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let held = std::fs::read_to_string(path).unwrap_or_default();
    assert!(held == reference(), "run `UPDATE_DOCS=1 cargo test -p tidegate-config`");
}

#[test]
fn the_examples_of_the_reference_hold_without_a_warning() {
    let text = reference();
    let examples: Vec<&str> =
        text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (config, warnings) = Config::parse("example.toml", example, &|_| None).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        reads_back(&config);
    }
}

/// A key the walker knows is in the schema and the other way round: both are asked about each.
#[test]
fn the_schema_and_the_walker_know_the_same_keys() {
    let schema = schema();
    let top = &schema["properties"];
    for name in top.as_object().unwrap().keys() {
        assert!(!is_unknown(&format!("{name} = 1"), name), "{name}");
    }
    for (table, frame) in PLACES {
        let properties =
            schema["$defs"][table]["properties"].as_object().unwrap_or_else(|| panic!("no {table}"));
        for name in properties.keys() {
            assert!(!is_unknown(&format!("{frame}{name} = 1"), name), "{table}.{name}");
        }
        assert!(is_unknown(&format!("{frame}nonsense = 1"), "nonsense"), "{table}");
        assert_eq!(schema["$defs"][table]["additionalProperties"], false, "{table}");
    }
    assert_eq!(schema["$defs"].as_object().unwrap().len(), PLACES.len());
}

const PLACES: [(&str, &str); 34] = [
    ("certificate", "[[listener]]\n[[listener.tls.certificates]]\n"),
    ("hsts", "[[listener]]\n[listener.tls.hsts]\n"),
    ("acme", "[[listener]]\n[listener.tls.acme]\n"),
    ("dns", "[[listener]]\n[listener.tls.acme.dns]\n"),
    ("internal", "[[listener]]\n[listener.tls.internal]\n"),
    ("tls", "[[listener]]\n[listener.tls]\n"),
    ("admin", "[admin]\n"),
    ("answer", "[[route]]\n[route.answer]\n"),
    ("balance", "[balance]\n"),
    ("breaker", "[breaker]\n"),
    ("cluster", "[cluster.a]\n"),
    ("cluster_limit", "[cluster.a.limit]\n"),
    ("course", "[[listener]]\n[listener.tcp]\n"),
    ("course_timeout", "[[listener]]\n[listener.tcp.timeout]\n"),
    ("endpoint", "[[cluster.a.endpoints]]\n"),
    ("endpoint_tls", "[cluster.a.tls]\n"),
    ("hash_key", "[balance]\nalgorithm = 'hash'\n[balance.key]\n"),
    ("health", "[health]\n"),
    ("limit", "[limit]\n"),
    ("listener", "[[listener]]\n"),
    ("log", "[log]\n"),
    ("passive", "[passive]\n"),
    ("path", "[[route]]\nto = 'a:1'\n[route.path]\n"),
    ("redirect", "[[route]]\n[route.redirect]\n"),
    ("rate_key", "[rate_limit]\nrequests = '1/s'\n[rate_limit.key]\n"),
    ("rate_limit", "[rate_limit]\n"),
    ("hedge", "[hedge]\n"),
    ("retry", "[retry]\n"),
    ("retry_budget", "[retry.budget]\n"),
    ("route", "[[route]]\n"),
    ("route_limit", "[[route]]\nto = 'a:1'\n[route.limit]\n"),
    ("route_timeout", "[[route]]\nto = 'a:1'\n[route.timeout]\n"),
    ("sticky", "[sticky]\n"),
    ("timeout", "[timeout]\n"),
];

fn is_unknown(text: &str, key: &str) -> bool {
    let title = format!("unknown key `{key}`");
    parse(text)
        .expect_err("no such text holds")
        .diagnostics()
        .iter()
        .any(|diagnostic| diagnostic.title().starts_with(&title))
}

/// What is said of one cluster, and where: at the top for all, or beside its endpoints.
#[derive(Clone, Debug)]
struct Said {
    endpoint: &'static str,
    /// Keys of the top alone, of a cluster and of a route; each with whether it stands at the top where it may stand lower.
    top: &'static str,
    of_cluster: Vec<(&'static str, bool)>,
    hedge: (&'static str, bool),
}

fn said() -> impl Strategy<Value = Said> {
    let one = proptest::sample::select::<&'static str>;
    let keys = [
        vec!["", "balance = 'random'", "balance = 'adaptive'"],
        vec!["", "health = '/up'", "health = { type = 'grpc' }"],
        vec!["", "endpoint_http2 = true", "endpoint_http2 = false"],
        vec!["", "send_proxy_protocol = 'v2'", "send_proxy_protocol = 'off'"],
    ];
    let keys = keys.map(|lines| (one(lines), any::<bool>())).to_vec();
    let endpoint = one(vec!["'a:1'", "'unix:/run/a'", "'https://a'", "{ address = 'a:1', zone = 'x' }"]);
    let (top, hedge) = (one(vec!["", "zone = 'x'"]), (one(vec!["", "hedge = true"]), any::<bool>()));
    (endpoint, top, keys, hedge).prop_map(|(endpoint, top, of_cluster, hedge)| Said {
        endpoint,
        top,
        of_cluster,
        hedge,
    })
}

impl Said {
    /// The texts that mean the same.
    fn ways(&self) -> Vec<String> {
        let Self { endpoint, top, of_cluster, hedge } = self;
        let lines = |wanted: &dyn Fn(bool) -> bool| {
            let wanted = of_cluster.iter().filter(|(_, is_high)| wanted(*is_high));
            wanted.map(|(line, _)| *line).collect::<Vec<_>>().join("\n") + "\n"
        };
        let (all, high, low) = (lines(&|_| true), lines(&|is_high| is_high), lines(&|is_high| !is_high));
        let (hedge, is_high) = *hedge;
        let (high_hedge, low_hedge) = if is_high { (hedge, "") } else { ("", hedge) };
        let top = format!("listen = ':80'\n{top}\n");
        let cluster = format!("[cluster.a]\nendpoints = [{endpoint}]\n");
        let list = format!("to = [{endpoint}]\n");
        let mut ways = vec![
            format!("{top}{hedge}\nto = 'a'\n{cluster}{all}"),
            format!("{top}{hedge}\nto = 'a'\n{high}{cluster}{low}"),
            format!("{top}{hedge}\nto = 'a'\n{all}{cluster}"),
            format!("{top}{high}{high_hedge}\n[[route]]\nto = 'a'\n{low_hedge}\n{cluster}{low}"),
            format!("{top}{hedge}\n{all}{list}"),
            format!("{top}{hedge}\n{all}[[route]]\n{list}"),
            format!("{top}{high}{high_hedge}\n[[route]]\n{list}{low}{low_hedge}\n"),
            format!("{top}[[route]]\n{list}{all}{hedge}\n"),
        ];
        if endpoint.starts_with('\'') {
            let single = format!("to = {endpoint}\n");
            ways.push(format!("{top}{hedge}\n{all}{single}"));
            ways.push(format!("{top}{high}{high_hedge}\n[[route]]\n{single}{low}{low_hedge}\n"));
        }
        ways
    }
}

/// What is remarked, in order; and the cluster, if there is one, but for the name.
fn verdict(text: &str) -> (Vec<String>, Option<Cluster>) {
    let (remarks, config) = match Config::parse("test.toml", text, &|_| None) {
        Ok((config, remarks)) => (remarks, Some(config)),
        Err(report) => (report.diagnostics().to_vec(), None),
    };
    let mut titles: Vec<_> = remarks.iter().map(|remark| remark.title().to_owned()).collect();
    titles.sort_unstable();
    let cluster = config.and_then(|config| config.clusters.into_iter().next());
    (titles, cluster.map(|cluster| Cluster { name: String::new(), ..cluster }))
}

/// Lines that fit together often enough to get past the syntax.
fn lines() -> impl Strategy<Value = String> {
    let pieces: Vec<String> = RICH.lines().map(str::to_owned).collect();
    let piece = prop_oneof![
        8 => proptest::sample::select(pieces),
        1 => "[a-z_]{1,8} = (\"[ -~é]{0,12}\"|-?[0-9]{1,20}|true|\\[\\]|\\{\\})",
        1 => "\\[{1,2}[a-z.]{1,12}\\]{1,2}",
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|lines| lines.join("\n"))
}

fn never_panics(text: &str) {
    if let Err(report) = Config::parse("fuzz.toml", text, &|name| Some(name.to_owned())) {
        assert!(report.error_count() > 0);
        report.render(Style::Coloured);
        report.to_json();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(report) = Config::parse_bytes("fuzz", &bytes, &|_| None, &|_| Ok(None)) {
            report.render(Style::Plain);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,100}") {
        never_panics(&text);
        never_panics(&format!("listen = {text:?}\nto = {text:?}"));
    }

    #[test]
    fn no_mix_of_lines_panics_and_what_holds_reads_back(text in lines()) {
        never_panics(&text);
        if let Ok(config) = parse(&text) {
            reads_back(&config);
        }
    }

    #[test]
    fn however_a_cluster_is_written_it_is_the_same_and_so_is_what_is_said_of_it(said in said()) {
        let ways = said.ways();
        let expected = verdict(&ways[0]);
        for way in &ways {
            prop_assert_eq!(&verdict(way), &expected, "{}\n{}", &ways[0], way);
        }
    }

    #[test]
    fn a_damaged_file_never_panics(at in 0..RICH.len(), with in any::<char>()) {
        let mut text = RICH.to_owned();
        if text.is_char_boundary(at) {
            text.insert(at, with);
        }
        never_panics(&text);
    }

    #[test]
    fn names_and_texts_of_any_letters_read_back(body in any::<String>(), name in "[ -~]{1,40}", path in "/[a-z${}]{0,9}") {
        let text = format!(
            "listen = ':80'\n[[route]]\nname = {}\npath = {}\nanswer = {{ body = {} }}",
            toml_text(&name), toml_text(&path), toml_text(&body),
        );
        if let Ok(config) = parse(&text) {
            reads_back(&config);
        }
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::String(text.replace("${", "$${")).to_string()
}
