//! What one request leaves in the access log, and the choice of how it is written. docs/access-log.md explains each
//! field. Knows nothing of where lines go.

use super::timestamp::Timestamp;
use super::{json, text};
use std::time::{Duration, SystemTime};

/// One finished request (or one that never became a request: then method, path and host are absent).
///
/// Bytes that came from the network are given as they came; the formatters escape them.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When the request's first byte came.
    pub time: SystemTime,
    pub request_id: &'a str,
    pub listener: &'a str,
    /// The client's address, after trusted proxies were taken off; `unix:` for a Unix socket.
    pub client: &'a str,
    pub method: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
    pub path: Option<&'a [u8]>,
    /// What follows the `?`, without it.
    pub query: Option<&'a [u8]>,
    pub protocol: Option<&'a str>,
    pub user_agent: Option<&'a [u8]>,
    pub route: Option<&'a str>,
    pub cluster: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<&'a str>,
    /// The status sent to the client; `None` when the connection ended before one was.
    pub status: Option<u16>,
    /// How the endpoint said that a call of gRPC ended.
    pub grpc_status: Option<u8>,
    pub attempts: u32,
    /// From the request's head to the last attempt's pick: waiting, earlier attempts.
    pub queue: Option<Duration>,
    /// Opening the last attempt's connection; `None` when a pooled one was used.
    pub connect: Option<Duration>,
    /// From sending the last attempt to the head of its answer.
    pub first_byte: Option<Duration>,
    /// From the request's first byte to the answer's last.
    pub total: Duration,
    /// Of the request's body.
    pub bytes_in: u64,
    /// Of the response's body.
    pub bytes_out: u64,
    /// The attempts that were given up for another, in their order.
    pub given_up: &'a [GivenUp<'a>],
    /// A second attempt was made beside one that kept the request waiting.
    pub hedged: bool,
    /// What came of it, or why it was not made.
    pub hedge: Option<Hedge<'a>>,
    /// Why a failed attempt was not followed by another, when its failure called for one.
    pub no_retry: Option<&'a str>,
    /// What became of the client's sticky cookie, where the cluster has one.
    pub sticky: Option<Sticky<'a>>,
    /// Why it is not where its key belongs, where a hash chooses.
    pub hash_spilled: Option<&'a str>,
    /// What its endpoint was picked for, where that was not the usual way.
    pub picked_as: Option<&'a str>,
    /// The id that a proxy in front has given the client's connection.
    pub connection_id: Option<&'a [u8]>,
    /// Why the request did not end well; `None` when it did.
    pub failure: Option<Failure<'a>>,
    /// What was agreed on with the client; `None`: it speaks in the clear.
    pub tls: Option<Tls<'a>>,
}

/// An attempt that was given up for another one.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    pub endpoint: &'a str,
    pub stage: &'a str,
    pub cause: &'a str,
    /// Of the answer that was thrown away, where one had come.
    pub status: Option<u16>,
    /// What that answer said of a call of gRPC.
    pub grpc_status: Option<u8>,
    /// From the endpoint's choice to its being given up.
    pub took: Duration,
}

/// A second attempt beside one that kept the request waiting: the last one, should there have been several.
#[derive(Clone, Copy, Debug)]
pub struct Hedge<'a> {
    /// The endpoint that kept it waiting.
    pub from: &'a str,
    /// `None`: nobody, for want of a slot.
    pub to: Option<&'a str>,
    /// A word from a closed list.
    pub outcome: &'a str,
    /// Why it failed, a word as of failures, where it did.
    pub cause: Option<&'a str>,
    /// The age of the first attempt then.
    pub after: Duration,
}

/// Whether a client came back to the endpoint of its cookie, and why not: words from closed lists.
#[derive(Clone, Copy, Debug)]
pub struct Sticky<'a> {
    pub outcome: &'a str,
    pub reason: Option<&'a str>,
}

/// How a client's connection is encrypted.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// "1.2" or "1.3".
    pub version: &'a str,
    /// As IANA has it.
    pub cipher: &'a str,
    /// The name that the client asked for.
    pub server_name: Option<&'a str>,
    /// What was agreed to be spoken (RFC 7301).
    pub alpn: Option<&'a [u8]>,
    /// With a ticket from an earlier connection.
    pub resumed: bool,
    /// Whom the client's certificate is for (RFC 4514).
    pub client_subject: Option<&'a str>,
}

/// Who ended a request early, how far it had come, and why: words from closed lists.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    pub blame: &'a str,
    pub stage: &'a str,
    pub cause: &'a str,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line a person reads.
    Text,
}

/// Turns records into lines. One per worker: it keeps the buffer and the date of the last line, so that in steady state a
/// line costs no allocation.
#[derive(Debug, Default)]
pub struct Formatter {
    format: Format,
    timestamp: Timestamp,
    line: Vec<u8>,
}

impl Formatter {
    pub fn new(format: Format) -> Self {
        Self { format, ..Self::default() }
    }

    /// The record as one line, with its line end, whatever bytes it holds.
    pub fn line(&mut self, record: &Record<'_>) -> &[u8] {
        self.line.clear();
        let time = self.timestamp.of(record.time);
        match self.format {
            Format::Json => json::append(record, time, &mut self.line),
            Format::Text => text::append(record, time, &mut self.line),
        }
        self.line.push(b'\n');
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn answered() -> Record<'static> {
        Record {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_396_459_123),
            request_id: "0199f1c2",
            listener: "web",
            client: "203.0.113.9",
            method: Some(b"GET"),
            host: Some(b"shop.example"),
            path: Some(b"/items"),
            query: Some(b"page=2"),
            protocol: Some("HTTP/1.1"),
            user_agent: Some(b"curl/8.5 \"x\""),
            route: Some("shop"),
            cluster: Some("app"),
            endpoint: Some("10.0.0.1:8001"),
            status: Some(200),
            grpc_status: None,
            attempts: 1,
            queue: Some(Duration::from_micros(12)),
            connect: Some(Duration::from_micros(201)),
            first_byte: Some(Duration::from_micros(11_900)),
            total: Duration::from_micros(12_345),
            bytes_in: 0,
            bytes_out: 5120,
            given_up: &[],
            hedged: false,
            hedge: None,
            no_retry: None,
            sticky: None,
            hash_spilled: None,
            picked_as: None,
            connection_id: None,
            failure: None,
            tls: None,
        }
    }

    const SPILLED: Sticky<'static> = Sticky { outcome: "spilled", reason: Some("bound") };

    /// On the third endpoint, which kept it waiting.
    fn tried_again() -> Record<'static> {
        let refused = GivenUp {
            endpoint: "10.0.0.1:8001",
            stage: "connect",
            cause: "connect_refused",
            status: None,
            grpc_status: None,
            took: Duration::from_micros(201),
        };
        let busy = GivenUp {
            endpoint: "unix:/run/app (2)",
            stage: "await",
            cause: "answer_refused",
            status: Some(503),
            ..refused
        };
        let given_up = Box::leak(Box::new([refused, busy]));
        let hedge = Hedge {
            from: "10.0.0.3:8001",
            to: Some("10.0.0.4:8001"),
            outcome: "won",
            cause: None,
            after: Duration::from_millis(80),
        };
        Record {
            attempts: 4,
            given_up,
            hedged: true,
            hedge: Some(hedge),
            sticky: Some(SPILLED),
            hash_spilled: Some("full"),
            picked_as: Some("trial"),
            ..answered()
        }
    }

    fn encrypted() -> Record<'static> {
        let tls = Tls {
            version: "1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            server_name: Some("shop.example"),
            alpn: Some(b"h2"),
            resumed: false,
            client_subject: Some("CN=ops,O=Example"),
        };
        Record { protocol: Some("HTTP/2"), grpc_status: Some(14), tls: Some(tls), ..answered() }
    }

    /// A connection that sent nothing that could be read.
    fn unreadable() -> Record<'static> {
        Record {
            method: None,
            host: None,
            path: None,
            query: None,
            protocol: None,
            user_agent: None,
            route: None,
            cluster: None,
            endpoint: None,
            status: None,
            attempts: 0,
            queue: None,
            connect: None,
            first_byte: None,
            failure: Some(Failure { blame: "downstream", stage: "head", cause: "head_timeout" }),
            ..answered()
        }
    }

    fn line(format: Format, record: &Record<'_>) -> String {
        String::from_utf8(Formatter::new(format).line(record).to_vec()).unwrap()
    }

    #[test]
    fn a_text_line_reads_from_what_happened_to_the_details() {
        assert_eq!(
            line(Format::Text, &answered()),
            "2026-11-23T01:14:19.123Z 200 GET shop.example/items?page=2 12.345ms app/10.0.0.1:8001 queue=0.012ms \
             connect=0.201ms first_byte=11.900ms attempts=1 in=0 out=5120 client=203.0.113.9 route=shop id=0199f1c2\n"
        );
        assert_eq!(
            line(Format::Text, &unreadable()),
            "2026-11-23T01:14:19.123Z - - - 12.345ms - attempts=0 in=0 out=5120 ended_by=downstream stage=head \
             cause=head_timeout client=203.0.113.9 id=0199f1c2\n"
        );
        let again = line(Format::Text, &tried_again());
        let pairs = " attempts=4 given_up=10.0.0.1:8001(connect_refused,0.201ms),unix:/run/app\\u{20}(2)(503,0.201ms) in=0 out=5120 hedge=won(10.0.0.3:8001>10.0.0.4:8001) sticky=spilled(bound) hash_spilled=full picked_as=trial client=";
        assert!(again.contains(pairs), "{again}");
        let encrypted = line(Format::Text, &encrypted());
        assert!(encrypted.contains("attempts=1 in=0 out=5120 grpc_status=14 client="), "{encrypted}");
        let pairs = " client=203.0.113.9 route=shop tls=1.3 cipher=TLS_AES_128_GCM_SHA256 sni=shop.example alpn=h2 \
                     client_subject=CN=ops,O=Example id=0199f1c2\n";
        assert!(encrypted.ends_with(pairs), "{encrypted}");
    }

    #[test]
    fn a_json_line_has_every_key_and_null_for_what_is_not_known() {
        let parsed: Value = serde_json::from_str(&line(Format::Json, &answered())).unwrap();
        let expected = json!({
            "time": "2026-11-23T01:14:19.123Z", "request_id": "0199f1c2", "listener": "web",
            "client": "203.0.113.9", "method": "GET", "host": "shop.example", "path": "/items",
            "query": "page=2", "protocol": "HTTP/1.1", "user_agent": "curl/8.5 \"x\"", "route": "shop",
            "cluster": "app", "endpoint": "10.0.0.1:8001", "status": 200, "grpc_status": null, "attempts": 1, "queue_ms": 0.012,
            "connect_ms": 0.201, "first_byte_ms": 11.9, "total_ms": 12.345, "bytes_in": 0, "bytes_out": 5120,
            "ended_by": null, "stage": null, "cause": null, "given_up": null, "hedged": false, "hedge": null, "no_retry": null, "sticky": null, "sticky_reason": null, "hash_spilled": null, "picked_as": null, "connection_id": null,
            "tls": null,
        });
        assert_eq!(parsed, expected);

        let parsed: Value = serde_json::from_str(&line(Format::Json, &unreadable())).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&parsed), keys(&expected));
        assert_eq!((&parsed["status"], &parsed["cause"]), (&Value::Null, &json!("head_timeout")));

        let parsed: Value = serde_json::from_str(&line(Format::Json, &encrypted())).unwrap();
        let agreed = json!({
            "version": "1.3", "cipher": "TLS_AES_128_GCM_SHA256", "server_name": "shop.example", "alpn": "h2",
            "resumed": false, "client_subject": "CN=ops,O=Example",
        });
        assert_eq!((&parsed["tls"], keys(&parsed)), (&agreed, keys(&expected)));
        assert_eq!(parsed["grpc_status"], json!(14));

        let parsed: Value = serde_json::from_str(&line(Format::Json, &tried_again())).unwrap();
        let given_up = json!([
            {"endpoint": "10.0.0.1:8001", "stage": "connect", "cause": "connect_refused", "status": null,
             "grpc_status": null, "ms": 0.201},
            {"endpoint": "unix:/run/app (2)", "stage": "await", "cause": "answer_refused", "status": 503,
             "grpc_status": null, "ms": 0.201},
        ]);
        let hedge = json!({"from": "10.0.0.3:8001", "to": "10.0.0.4:8001", "outcome": "won", "cause": null, "after_ms": 80.0});
        assert_eq!((&parsed["given_up"], &parsed["hedge"]), (&given_up, &hedge));
        assert_eq!((&parsed["sticky"], &parsed["sticky_reason"]), (&json!("spilled"), &json!("bound")));
        assert_eq!((&parsed["hash_spilled"], &parsed["picked_as"]), (&json!("full"), &json!("trial")));
        assert_eq!(keys(&parsed), keys(&expected));
    }

    #[test]
    fn the_documentation_names_every_key() {
        let page = include_str!("../../../../docs/access-log.md");
        let parsed: Value = serde_json::from_str(&line(Format::Json, &encrypted())).unwrap();
        for key in parsed.as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
        for key in parsed["tls"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("| `tls.{key}` |")), "{key}");
        }
        let parsed: Value = serde_json::from_str(&line(Format::Json, &tried_again())).unwrap();
        for (name, value) in [("given_up", &parsed["given_up"][0]), ("hedge", &parsed["hedge"])] {
            for key in value.as_object().unwrap().keys() {
                assert!(page.contains(&format!("| `{name}.{key}` |")), "{name}.{key}");
            }
        }
        for format in [Format::Json, Format::Text] {
            assert!(page.contains(line(format, &answered()).trim_end()), "the example of {format:?}");
        }
    }

    #[test]
    fn a_formatter_is_reused_without_leaving_anything_of_the_line_before() {
        let mut formatter = Formatter::new(Format::Json);
        let first = formatter.line(&answered()).to_vec();
        formatter.line(&unreadable());
        assert_eq!(formatter.line(&answered()), first);
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_valid_line(
            method in any::<Vec<u8>>(), host in any::<Vec<u8>>(), path in any::<Vec<u8>>(),
            query in any::<Vec<u8>>(), agent in any::<Vec<u8>>(), text in any::<String>(),
            total in any::<u64>(), status in any::<u16>(), bytes in any::<u64>(),
        ) {
            let record = Record {
                request_id: &text, client: &text, listener: &text, route: Some(&text), endpoint: Some(&text),
                cluster: Some(&text), protocol: Some(&text), method: Some(&method), host: Some(&host),
                path: Some(&path), query: Some(&query), user_agent: Some(&agent), status: Some(status),
                total: Duration::from_nanos(total), bytes_in: bytes,
                no_retry: Some(&text),
                sticky: Some(Sticky { outcome: &text, reason: Some(&text) }),
                hash_spilled: Some(&text),
                picked_as: Some(&text),
                given_up: &[GivenUp {
                    endpoint: &text, stage: &text, cause: &text, status: None, grpc_status: None,
                    took: Duration::from_nanos(total),
                }],
                hedged: true,
                hedge: Some(Hedge { from: &text, to: Some(&text), outcome: &text, cause: Some(&text), after: Duration::ZERO }),
                connection_id: Some(&agent),
                failure: Some(Failure { blame: &text, stage: &text, cause: &text }),
                tls: Some(Tls {
                    version: &text, cipher: &text, server_name: Some(&text), alpn: Some(&method), resumed: true,
                    client_subject: Some(&text),
                }),
                ..answered()
            };
            let json = line(Format::Json, &record);
            prop_assert_eq!(json.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
            let parsed: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&parsed["route"], &json!(text));
            prop_assert_eq!(&parsed["bytes_in"], &json!(bytes));

            let words = line(Format::Text, &record);
            prop_assert_eq!(words.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
            prop_assert_eq!(words.matches(' ').count(), line(Format::Text, &unreadable_but_blamed()).matches(' ').count() + 17);
        }
    }

    /// The text line with the same words as the property's records, seventeen pairs less.
    fn unreadable_but_blamed() -> Record<'static> {
        Record {
            failure: unreadable().failure,
            route: None,
            queue: None,
            connect: None,
            first_byte: None,
            ..answered()
        }
    }
}
