//! What people see when they get it wrong: one snapshot for each mistake that is easily made.
//!
//! It knows nothing of the insides of the crate.

use tidegate_config::{Config, Diagnostic, Flag, Style};

/// The report, or the warnings of a text that holds.
fn report(text: &str) -> String {
    let env = |name: &str| (name == "HOST").then(|| "10.0.0.1".to_owned());
    match Config::parse("tidegate.toml", text, &env) {
        Ok((_, warnings)) => warnings.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n\n"),
        Err(report) => report.render(Style::Plain),
    }
}

/// Each name is a test and a file in snapshots/.
macro_rules! mistakes {
    ($($name:ident: $text:expr,)*) => {
        $(
            #[test]
            fn $name() {
                let settings = {
                    let mut settings = insta::Settings::clone_current();
                    settings.set_omit_expression(true);
                    settings.set_prepend_module_to_snapshot(false);
                    settings
                };
                settings.bind(|| insta::assert_snapshot!(stringify!($name), report($text)));
            }
        )*
    };
}

mistakes! {
    a_list_takes_no_host_for_a_month: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = { cert = 'a', key = 'b', hsts = { max_age = '30d', include_subdomains = true, preload = true } }\n",
    answers_that_have_no_body:
        "listen = ':80'\n[[route]]\npath = '/a'\nanswer = { status = 205, body = 'x' }\n[[route]]\nanswer = { status = 304, content_type = 'a/b' }\n",
    a_misspelt_key_gets_a_guess: "listen = ':8080'\nto = 'localhost:8001'\nhelth = '/health'\n",
    a_key_of_another_proxy_gets_ours: "listen = ':80'\nto = 'a'\n[cluster.a]\nservers = ['10.0.0.1:80']\n",
    a_key_one_level_too_high_is_sent_down:
        "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['10.0.0.1:80']\ninterval = '5s'\n",
    a_top_key_below_a_table_is_sent_up: "[timeout]\nconnect = '1s'\nlisten = ':80'\nto = 'localhost:8001'\n",
    tls_without_a_certificate: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = true\n[[listener]]\nbind = ':444'\n[listener.tls]\ncert = 'a.pem'\n[[listener]]\nbind = ':445'\ntls = { min_version = '1.1' }\n",
    records_that_nobody_can_show: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = { acme = { hosts = ['*.a.example.com'], challenge = 'dns-01' } }\n\
        [[listener]]\nbind = ':444'\ntls = { acme = { hosts = ['a.example.com'], dns = { wait = '1m', resolver = 'ns' } } }\n\
        [[listener]]\nbind = ':445'\ntls = { acme = { hosts = ['a.*.test'], dns = { server = 'ns.test', command = ['hook'] } } }\n\
        [[listener]]\nbind = ':446'\ntls = { acme = { hosts = ['a.example.com'], dns = { command = [] } } }\n\
        [[listener]]\nbind = ':447'\ntls = { acme = { hosts = ['a.example.com'], dns = { server = 'ns test' } } }\n",
    authorities_that_share_a_place: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = { acme = { hosts = ['a.example.com', 'b.example.com'] } }\n\
        [[listener]]\nbind = ':8443'\ntls = { acme = { hosts = ['b.example.com'], ca = 'https://acme-staging-v02.api.letsencrypt.org/directory' } }\n",
    hosts_that_no_public_authority_knows: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = { acme = { hosts = ['app.internal', 'my_app.example.com', 'www.example.com'] } }\n",
    updates_that_nobody_signs: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\ntls = { acme = { hosts = ['a.example.com'], dns = { server = 'ns.test' } } }\n\
        [[listener]]\nbind = ':444'\ntls = { acme = { hosts = ['a.example.com'], dns = { command = ['hook'], key = 'k' } } }\n",
    clients_that_nobody_vouches_for: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\n[listener.tls]\ncert = 'a'\nkey = 'b'\nclient_auth = 'required'\n[[listener]]\nbind = ':444'\n[listener.tls]\ncert = 'a'\nkey = 'b'\nclient_crl = ['c', 4]\n[[listener]]\nbind = ':445'\n[listener.tls]\ncert = 'a'\nkey = 'b'\nclient_ca = 'c'\nclient_auth = 'off'\n",
    https_that_leads_to_itself: "to = 'localhost:8001'\n[[listener]]\nbind = ':443'\nredirect_https = true\ntls = { cert = 'a', key = 'b', hsts = 5 }\n[[listener]]\nbind = ':80'\nredirect_https = 'yes'\n",
    a_duration_without_a_unit: "listen = ':80'\nto = 'a:1'\n[timeout]\nconnect = 3\ntotal = '60'\n",
    a_duration_with_a_wrong_unit: "listen = ':80'\nto = 'a:1'\ntimeout = { head = '10 sec', total = '1.5s' }\n",
    a_duration_in_two_units: "listen = ':80'\nto = 'a:1'\n[timeout]\nconnect = '1h30m'\ntotal = '1m 30s'\nhead = '1h1x'\n[limit]\nhead_bytes = '1MiB512KiB'\n",
    a_duration_of_nothing: "listen = ':80'\nto = 'a:1'\n[timeout]\ntotal = '0s'\nconnect = 'off'\n",
    a_size_with_a_wrong_unit: "listen = ':80'\nto = 'a:1'\n[limit]\nhead_bytes = '64kb'\nbody_bytes = 1000\n",
    a_size_out_of_range: "listen = ':80'\nto = 'a:1'\n[limit]\nhead_bytes = '10B'\n",
    a_limit_that_would_refuse_everything:
        "listen = ':80'\nto = 'a:1'\n[limit]\npending_requests = 0\nupstream_connections = 0\nconnections = 0\n",
    a_number_in_quotes: "listen = ':80'\nto = 'a:1'\nworkers = '4'\n",
    a_key_given_twice: "listen = ':80'\nto = 'a:1'\n\nlisten = ':81'\n",
    a_table_given_twice: "listen = ':80'\nto = 'a:1'\n[log]\naccess = 'stdout'\n\n[log]\nformat = 'json'\n",
    a_text_without_quotes: "listen = ':80'\nto = localhost:8001\n",
    a_quote_that_is_never_closed: "listen = \":80\nto = 'a:1'\n",
    a_cluster_that_nothing_defines:
        "listen = ':80'\n[[route]]\nto = 'ap'\n\n[cluster.app]\nendpoints = ['10.0.0.1:8001']\n",
    an_address_without_a_port: "listen = ':80'\nto = 'localhost'\n",
    endpoints_of_which_only_some_are_encrypted: "listen = ':80'\nto = ['https://a.example', 'b.example:80']\n[[route]]\npath = '/b'\nto = 'b'\n\
        [[route]]\npath = '/c'\nto = 'https://c.example/app'\n[[route]]\npath = '/d'\nto = 'd'\n\
        [cluster.b]\nendpoints = ['https://b.example']\ntls = 'off'\n[cluster.d]\nendpoints = ['http://d.example']\ntls = true\n",
    tls_with_endpoints_that_cannot_be: "listen = ':80'\nto = ['unix:/run/app.sock']\n[[route]]\npath = '/b'\nto = 'unix:/run/b.sock'\ntls = true\n\
        [[route]]\npath = '/c'\nto = 'c:1'\ntls = { ca = 'x', verify = false, cert = 'y' }\n\
        [[route]]\npath = '/d'\nto = 'd'\ntls = true\n[cluster.d]\nendpoints = ['d:1']\ntls = { server_name = 'd.example:443' }\n",
    whoever_answers_is_believed: "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = ['https://a.internal']\ntls = { verify = false }\n",
    connections_passed_on_to_nobody: "[[listener]]\nbind = ':1'\ntcp = 'bd'\n[[listener]]\nbind = ':2'\ntcp = '10.0.0.1:5432'\n\
        [[listener]]\nbind = ':3'\nsni = { 'a.com:443' = 'db', '10.0.0.1' = 'db', 'b.com' = 5 }\n[cluster.db]\nendpoints = ['a:1']\n",
    ways_that_no_connection_goes: "[[listener]]\nbind = ':1'\ntcp = { to = 'a', alpn = 'imap' }\n[[listener]]\nbind = ':2'\n\
        sni = { 'a.com' = ['a', { to = 'a', alpn = 'imap' }], 'b.com' = { alpn = 'imap' }, 'c.com' = [], '*' = { to = 'a', alpn = '', idle = '1s' } }\n\
        [cluster.a]\nendpoints = ['a:1']\n",
    connections_that_a_cluster_does_not_take: "[[listener]]\nbind = ':1'\nsni = { 'a.com' = 'a' }\n[[listener]]\nbind = ':2'\ntcp = 'b'\n\
        [cluster.a]\nendpoints = ['https://a']\n[cluster.b]\nendpoints = ['b:1']\nendpoint_http2 = true\n",
    tls_that_is_never_used: "to = 'h:1'\n[[listener]]\nbind = ':1'\ntls = 'internal'\nsni = { 'a.com' = 'a', '*' = [{ to = 'a', alpn = 'imap' }, 'a'] }\n\
        [[listener]]\nbind = ':2'\ntls = 'internal'\nsni = { '*' = { to = 'a', alpn = 'imap' } }\n[[listener]]\nbind = ':3'\nsni = { '*' = 'a' }\n\
        [cluster.a]\nendpoints = ['a:1']\n",
    a_listener_that_passes_everything_on_needs_no_route: "[[listener]]\nbind = ':1'\ntcp = 'a'\n[[listener]]\nbind = ':2'\nsni = { 'a.com' = 'a' }\n\
        [cluster.a]\nendpoints = ['a:1']\n",
    an_address_that_is_a_url: "listen = ':80'\nto = ['http://localhost:8001/']\n",
    a_port_out_of_range: "listen = ':99999'\nto = ['localhost:0', '::1']\n",
    an_algorithm_of_another_proxy: "listen = ':80'\nto = 'a:1'\nbalance = 'leastconn'\n",
    a_route_that_is_never_reached:
        "listen = ':80'\n[[route]]\npath = '/a'\nheader = { X = true }\nto = 'a:1'\n\n[[route]]\npath = '/a'\n\
         header = { x = '1' }\nto = 'a:2'\n",
    a_route_that_is_there_twice: "listen = ':80'\n[[route]]\nhost = ['a.com', 'b.com']\nto = 'a:1'\n[[route]]\n\
        host = ['b.com', 'a.com']\nto = 'b:1'\n[[route]]\nhost = 'a.com'\nto = 'c:1'\n",
    mistakes_that_do_not_hide_each_other: "listen = ':80'\nto = 'localhost'\n[[route]]\nhost = 'a.com'\nto = 'ap'\nhealth = { interval = '0s' }\n\
        [[route]]\nhost = 'a.com'\nto = 'app'\n[[route]]\nhost = 'b.com'\nto = 'app'\nanswer = { status = 99 }\nretry = { attempts = 0 }\n\
        [[route]]\nhost = 'c.com'\ntimeout = { total = '5' }\n\
        [[route]]\npath = { exact = 'x', prefix = 'y' }\nto = 'app'\nrate_limit = { requests = 'x', burst = 0, keys = 'two' }\n\
        [cluster.app]\nendpoints = [{ addr = 'h:1', weight = 'two', tier = -1 }]\n",
    hints_that_say_what_was_meant: "listen = ':80'\nto = ['::1:8080']\n[limit]\nhead_bytes = '0'\nbody_bytes = '0'\n\
        [[route]]\nredirect = { to = '{scheme}://{host}/' }\n",
    a_route_that_says_two_things: "listen = ':80'\n[[route]]\nto = 'a:1'\nanswer = { status = 404 }\n",
    a_route_that_says_nothing: "listen = ':80'\n[[route]]\nhost = 'example.com'\n",
    a_route_that_is_no_list: "listen = ':80'\n[route]\nto = 'a:1'\n",
    a_timeout_where_nothing_waits: "listen = ':80'\n[[route]]\nanswer = {}\ntimeout = { total = '1s' }\n",
    a_health_check_on_a_route_to_a_named_cluster:
        "listen = ':80'\n[[route]]\nto = 'app'\nhealth = '/up'\n[cluster.app]\nendpoints = ['a:1']\n",
    a_public_name_and_no_listener: "[[route]]\nhost = 'example.com'\nto = 'localhost:8001'\n",
    a_listener_and_nothing_to_do: "listen = ':80'\n",
    an_empty_file: "",
    a_host_with_a_port_a_scheme_or_a_stray_star:
        "listen = ':80'\n[[route]]\nhost = ['a.com:80', 'https://b.com/', 'www.*.com', 'a b']\nto = 'a:1'\n",
    a_path_with_a_star_a_query_or_no_slash: "listen = ':80'\n[[route]]\npath = '/api/*'\nto = 'a:1'\n\
        [[route]]\npath = 'static'\nto = 'a:1'\n[[route]]\npath = { exact = '/a?b=c' }\nto = 'a:1'\n",
    a_path_that_no_request_has: "listen = ':80'\nto = 'a:1'\n[[route]]\npath = '/a%2fb'\nto = 'a:1'\n\
        [[route]]\npath = '/a\\b'\nto = 'a:1'\n[[route]]\npath = '/a/%2e%2E/b'\nto = 'a:1'\n\
        [[route]]\npath = { exact = '/a%00' }\nto = 'a:1'\n[[route]]\npath = '/café'\nto = 'a:1'\n",
    a_path_that_another_one_is_in_other_letters: "listen = ':80'\nto = 'a:1'\n[[route]]\npath = '/a%41|'\nto = 'a:1'\n\
        [[route]]\npath = '/aA%7c'\nto = 'a:1'\n",
    a_method_in_lower_case: "listen = ':80'\n[[route]]\nmethod = ['get', 'POST']\nto = 'a:1'\n",
    a_redirect_that_is_none: "listen = ':80'\n[[route]]\nredirect = { to = 'https://{hots}/', status = 200 }\n\
        [[route]]\npath = '/x'\nredirect = { to = '/{path}' }\n",
    an_endpoint_listed_twice: "listen = ':80'\nto = ['a:1', { address = 'A:1', weight = 0 }]\n",
    a_cluster_without_endpoints: "listen = ':80'\nto = 'a'\n[cluster.a]\nendpoints = []\n[cluster.b]\n",
    two_listeners_on_one_port: "listen = [':80', '127.0.0.1:80', ':9901']\nto = 'a:1'\n",
    a_variable_that_is_not_set: "listen = ':80'\nto = ['${HOST}:80', '${PORT}', '${X']\n",
    a_hash_key_without_hash: "listen = ':80'\nto = 'a:1'\n[balance]\nalgorithm = 'random'\nkey = 'path'\n",
    a_sticky_cookie_that_is_none: "listen = ':80'\nto = 'a:1'\nsticky = { cookie = 'a b', secret_file = 'x', secret_env = 'Y' }\n\
        [[route]]\npath = '/b'\nto = 'b'\nsticky = true\n[[route]]\npath = '/c'\nanswer = {}\nsticky = true\n\
        [cluster.b]\nendpoints = ['b:1']\nsticky = 'yes'\n",
    zones_that_change_nothing:
        "listen = ':80'\nto = [{ address = 'a:1', zone = 'x' }]\n[[route]]\npath = '/b'\nto = [{ address = 'b:1', zone = 'x' }]\n\
         balance = 'random'\n",
    a_zone_that_is_no_name: "listen = ':80'\nto = [{ address = 'a:1', zone = 'x y', tier = 300 }]\nzone = 5\n",
    a_bound_without_its_size: "listen = ':80'\nto = 'a:1'\nbalance = { algorithm = 'hash', bound_by = 'requests' }\n",
    a_balance_that_does_not_know_when_an_endpoint_is_full: "listen = ':80'\nto = 'a:1'\nbalance = 'first'\n",
    a_status_that_no_one_sends: "listen = ':80'\nto = 'a:1'\nhealth = { path = '/', expect = ['2xx', '300-200'] }\n",
    a_network_that_is_none: "listen = ':80'\nto = 'a:1'\ntrusted_proxies = ['10.0.0.0/33', 'lan']\n",
    a_version_of_the_proxy_protocol_that_is_not_sent:
        "listen = ':80'\nto = 'a:1'\nsend_proxy_protocol = 'v1'\n[[route]]\npath = '/x'\nanswer = {}\nsend_proxy_protocol = true\n",
    protocols_that_exclude_each_other: "listen = ':80'\nsend_proxy_protocol = 'v2'\nendpoint_http2 = true\nto = 'a:1'\n\
        [[route]]\npath = '/b'\nto = ['b:1']\n[[route]]\npath = '/c'\nto = 'c'\n[cluster.c]\nendpoints = ['c:1']\n\
        [[route]]\npath = '/d'\nto = 'd:1'\nsend_proxy_protocol = 'off'\nhealth = { type = 'grpc' }\n",
    checks_of_a_protocol_that_is_not_spoken: "listen = ':80'\nhealth = { type = 'grpc' }\nto = 'a:1'\n\
        [[route]]\npath = '/b'\nto = 'b:1'\nendpoint_http2 = true\n",
    rates_that_are_none: "listen = ':80'\nto = 'a:1'\nrate_limit = '100'\n[[route]]\npath = '/a'\nto = 'a:1'\nrate_limit = 'x/s'\n\
        [[route]]\npath = '/b'\nto = 'a:1'\nrate_limit = '5/fortnight'\n[[route]]\npath = '/c'\nto = 'a:1'\nrate_limit = 5\n\
        [[route]]\npath = '/d'\nto = 'a:1'\nrate_limit = '5000000/s'\n",
    a_rate_limit_that_counts_something_else: "listen = ':80'\nto = 'a:1'\n[rate_limit]\nrequests = '5/s'\nkey = 'all'\n\
        keys = 100\nipv6_prefix = 48\nburst = 0\n[[route]]\nto = 'a:1'\npath = '/x'\nrate_limit = { key = 'client' }\n",
    more_connections_of_a_client_than_of_all:
        "listen = ':80'\nto = 'a:1'\nlimit = { connections = 100, connections_per_client = 200 }\n",
    proxies_that_may_introduce_anyone: "listen = ':80'\nto = 'a:1'\nproxy_protocol_from = ['0.0.0.0/0', 'haproxy']\n",
    many_mistakes_at_once: "listen = ':80'\nworkers = 0\nbalence = 'hash'\n\n[timeout]\nconnect = 3\n\n[[route]]\n\
        host = 'example.com'\npath = 'api'\nto = 'aap'\n\n[cluster.app]\nendpoints = ['10.0.0.1', 'unix:']\n",
    legal_but_surprising: "listen = ':80'\nto = 'a:1'\nadmin = ':9901'\ntrusted_proxies = '0.0.0.0/0'\n\
        health = { interval = '1s', timeout = '5s' }\ntimeout = { connect = '10s', total = '5s' }\n\
        log = { format = 'text' }\n\n[[listener]]\nbind = ':81'\nconnections = 20000\n\n\
        [[route]]\nhost = 'a.com'\nto = 'b:1'\n\n[[route]]\nhost = ['a.com', 'b.com']\nto = 'c:1'\n\n\
        [cluster.idle]\nendpoints = ['a:1']\n",
}

#[test]
fn a_mistake_on_the_command_line_underlines_the_argument() {
    let flag = |name, key, value| Flag { name, key, value };
    let flags =
        [flag("--listen", "listen", ":888888"), flag("--to", "to", "localhost"), flag("--to", "to", "b:2")];
    let report = Config::from_flags(&flags).unwrap_err();
    insta::assert_snapshot!(report.to_string(), @r#"
    error: `--listen`: ":888888" is no address
     --> command line:1:10
      |
    1 | --listen :888888 --to localhost --to b:2
      |          ^^^^^^^ `888888` is no port: ports go from 0 to 65535

    error: `--to`: "localhost" is no address
     --> command line:1:23
      |
    1 | --listen :888888 --to localhost --to b:2
      |                       ^^^^^^^^^ the port is missing: `localhost:80`

    command line: 2 errors
    "#);
}

#[test]
fn a_mistake_on_the_command_line_quotes_only_what_was_written_and_asks_for_nothing_that_cannot_be() {
    let flag = |name, key, value| Flag { name, key, value };
    let flags = [
        flag("", "listen", "127.0.0.1:0"),
        flag("--to", "to", "8001"),
        flag("", "health", "tcp"),
        flag("--balance", "balance", "fastest"),
        flag("--admin", "admin", "9901"),
    ];
    insta::assert_snapshot!(Config::from_flags(&flags).unwrap_err().to_string(), @r#"
    error: `--to`: "8001" is no address
     --> command line:1:6
      |
    1 | --to 8001 --balance fastest --admin 9901
      |      ^^^^ the host is missing: `localhost:8001`

    error: `--balance` takes "adaptive", "least_request", "round_robin", "random", "rendezvous", "maglev", "hash", "peak_ewma", "prequal" or "reported_load"
     --> command line:1:21
      |
    1 | --to 8001 --balance fastest --admin 9901
      |                     ^^^^^^^ found "fastest"

    error: `--admin`: "9901" is no address
     --> command line:1:37
      |
    1 | --to 8001 --balance fastest --admin 9901
      |                                     ^^^^ a port alone is written with a colon: `:9901`

    command line: 3 errors
    "#);
    let flags = [
        flag("", "listen", "127.0.0.1:0"),
        flag("", "to", "127.0.0.1:1"),
        flag("--balance", "balance", "first"),
    ];
    insta::assert_snapshot!(Config::from_flags(&flags).unwrap_err().to_string(), @r#"
    error: `first` needs to know how many requests fill an endpoint
     --> command line:1:11
      |
    1 | --balance first
      |           ^^^^^
      |
      = help: only a file says so: `balance = { algorithm = "first", in_flight_max = 50 }`, with a number that suits it, and tidegate run -c FILE

    command line: 1 error
    "#);
}

#[test]
fn a_report_for_programs_says_the_same() {
    let report =
        Config::parse("tidegate.toml", "listen = ':80'\nto = 'a:1'\nhelth = true\n", &|_| None).unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&report.to_json()).unwrap(), @r#"
    [
      {
        "column": 1,
        "file": "tidegate.toml",
        "help": "did you mean `health`?",
        "label": "nothing knows this key",
        "line": 3,
        "message": "unknown key `helth` at the top level",
        "severity": "error"
      }
    ]
    "#);
}

#[test]
fn colour_is_only_added_never_text() {
    let report = Config::parse("tidegate.toml", "helth = true\n", &|_| None).unwrap_err();
    let coloured = report.render(Style::Coloured);
    assert!(coloured.contains('\u{1b}'));
    assert!(!report.render(Style::Plain).contains('\u{1b}'));
    assert_eq!(without_escapes(&coloured), report.render(Style::Plain));
}

/// Cuts `ESC [ ... m`.
fn without_escapes(text: &str) -> String {
    let mut pieces = text.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |plain, piece| plain + piece.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn a_route_with_more_conditions_is_reached_wherever_it_stands() {
    let text = "listen = ':80'\n[[route]]\nto = 'a:1'\n[[route]]\nmethod = ['GET', 'PUT']\nto = 'b:1'\n\
                [[route]]\nmethod = 'GET'\nheader = { x = '1' }\nto = 'c:1'\n[[route]]\nmethod = 'POST'\nto = 'd:1'\n";
    assert_eq!(report(text), "");
}

#[test]
fn ten_thousand_routes_are_checked_at_once() {
    use std::fmt::Write as _;
    let mut text = String::from("listen = ':80'\n");
    for number in 0..10_000 {
        let _ = write!(text, "[[route]]\nhost = 'h{number}.example.com'\nto = 'c{number}'\n");
        let _ =
            write!(text, "[cluster.c{number}]\nendpoints = ['10.0.0.1:80']\nsticky = {{ cookie = 'own' }}\n");
    }
    assert_eq!(report(&text), "");
}

#[test]
fn a_hundred_thousand_hosts_are_checked_at_once() {
    for (routes, hosts) in [(20_000, 5), (1, 100_000)] {
        let host = |route, number: usize| format!("'h{route}-{number}.example.com', ");
        let route = |route: usize| {
            let hosts: String = (0..hosts).map(|number| host(route, number)).collect();
            format!("[[route]]\nhost = [{hosts}]\nto = '10.0.0.1:80'\n")
        };
        let routes: String = (0..routes).map(route).collect();
        assert_eq!(report(&format!("listen = ':80'\n{routes}")), "");
    }
}

#[test]
fn ten_thousand_routes_are_told_apart_though_what_they_would_be_called_is_cut() {
    let labels = "a.".repeat(60);
    let route = |number| format!("[[route]]\nhost = '{labels}h{number}.test'\nto = '10.0.0.1:80'\n");
    let routes: String = (0..10_000).map(route).collect();
    assert_eq!(report(&format!("listen = ':80'\n{routes}")), "");
}

#[test]
fn ten_thousand_mistakes_are_counted_and_the_first_fifty_shown() {
    let text =
        format!("listen = ':80'\n{}", "[[route]]\npaht = '/'\nto = 'localhost:99999'\n".repeat(10_000));
    let report = report(&text);
    assert_eq!(report.matches("\nerror: ").count() + 1, 50);
    assert!(report.ends_with("... and 19950 more\n\ntidegate.toml: 20000 errors"), "{report}");
}
