//! How the memory that the process may use is shared out, so that no crowd of clients makes it use more.
//!
//! Everything is counted at its worst: a request that fills all of its buffers, a connection for each that may be open.

use crate::core::worker_count;
use tidegate_config::{Action, Config, Listener, RequestLimit};
use tidegate_proxy::http2::{ENDPOINT_REQUEST_BYTES, NARROW_BYTES, UNSENT_BYTES_MAX, WIDE_BYTES};
use tidegate_proxy::snapshot::WorkspaceLimits;
use tidegate_proxy::workspace::{OVERSIZED_BYTES, WORKSPACE_BYTES};

/// What is left alone for every unit of memory: what the allocator wastes, two configurations during a reload, and what
/// the kernel charges to a control group (sockets and what waits in them).
const UNPLANNED: f64 = 0.2;

/// The program before its first connection, beside its workers. Measured: 4 MiB, and stacks.
const PROGRAM_BYTES: f64 = 8.0 * MIB;
/// A thread's stack, its hot memory, connections that stay ready to serve.
const WORKER_BYTES: f64 = 1.5 * MIB;
/// Open and idle. Measured: 1.0 KiB; and the table of its descriptor.
const CONNECTION_BYTES: f64 = 1.25 * KIB;
/// With TLS. Measured: 5 KiB when idle, 11 KiB with a handshake that is as long as may be and does not come to its end.
const TLS_CONNECTION_BYTES: f64 = 12.0 * KIB;
/// With HTTP/2 over TLS: idle, measured at 11 KiB once it has been used, and what waits of answers that the client does not take.
const HTTP2_CONNECTION_BYTES: f64 = 14.0 * KIB + UNSENT_BYTES_MAX as f64;
/// What connections may take of what the program and its workers leave.
const CONNECTIONS_SHARE: f64 = 0.5;
/// A request's future, its connection to an endpoint, and what its pumps hold beside heads.
const REQUEST_BYTES: f64 = 12.0 * KIB;
/// What one over HTTP/2 may take in addition: of its body, 64 KiB wait in the connection, and one frame, not more, where that of
/// HTTP/1 fills a buffer of 64 KiB.
const HTTP2_REQUEST_BYTES: f64 = 16.0 * KIB;
/// What a connection may send of bodies, once an endpoint takes them, beyond what is counted with each request.
const WIDE_WINDOW_BYTES: f64 = (WIDE_BYTES - NARROW_BYTES) as f64;
/// One line of a head in a parsed one; there are two.
const FIELD_BYTES: f64 = 2.0 * 16.0;

/// Of what requests may use, for each of: workspaces that wait for their next request, those that hold more than usual of
/// what a peer does not take, bodies kept for another attempt, connections that speak HTTP/2, those of them that may send much
/// before it is taken (half of that). The rest is for requests in service.
const SHARE: f64 = 0.125;

/// More than these bring nothing, however much memory there is.
const WORKER_SPARE_MAX: usize = 1024;
const WORKER_OVERSIZED_MAX: usize = 64;
const WORKER_KEPT_BODIES_MAX: usize = 1024;
const WORKER_WIDE_WINDOWS_MAX: usize = 1024;

/// So many are served in any case: a proxy with less memory than that takes is better told so by the kernel.
const REQUESTS_MIN: usize = 16;
const CONNECTIONS_MIN: usize = 64;

/// As many as a worker makes (some 5000 a second) while a distant client answers (some 100 ms): with fewer, workers would wait
/// for clients.
const WORKER_HANDSHAKES: usize = 512;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;

/// How many requests would be served at once by this configuration, here and now.
pub fn request_limit(config: &Config) -> usize {
    shares(config, worker_count(config.workers), tidegate_sys::usable_memory()).workspaces.lent_max
}

/// How many connections and what of requests the memory is enough for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// No more than the configuration says.
    pub(crate) connections_max: usize,
    /// TLS handshakes that a worker has under way at once.
    pub(crate) handshakes_max: usize,
    pub(crate) workspaces: WorkspaceLimits,
}

pub(crate) fn shares(config: &Config, workers: usize, memory_bytes: Option<u64>) -> Shares {
    let left = memory_bytes.map_or(f64::INFINITY, |bytes| {
        let planned = bytes as f64 * (1.0 - UNPLANNED);
        (planned - PROGRAM_BYTES - workers as f64 * WORKER_BYTES).max(0.0)
    });
    let connection_bytes = connection_bytes(config);
    // A float that is too large or infinite becomes the largest number.
    let fitting = (left * CONNECTIONS_SHARE / connection_bytes) as usize;
    let connections_max = fitting.max(CONNECTIONS_MIN).min(config.limit.connections as usize);
    let for_requests = (left - connections_max as f64 * connection_bytes).max(0.0);
    Shares {
        connections_max,
        handshakes_max: handshakes_max(config, workers),
        workspaces: workspace_limits(config, workers, connections_max, for_requests),
    }
}

/// Connections are counted with their handshakes, so memory asks for nothing less.
fn handshakes_max(config: &Config, workers: usize) -> usize {
    config.limit.handshakes.map_or(WORKER_HANDSHAKES, |most| (most as usize).div_ceil(workers.max(1)))
}

fn workspace_limits(
    config: &Config,
    workers: usize,
    connections: usize,
    for_requests: f64,
) -> WorkspaceLimits {
    let request_bytes = request_bytes(config);
    let kept_body_bytes = kept_body_bytes(config).max(1) as f64;
    // Of one worker.
    let share =
        |bytes: f64, most: usize| ((for_requests * SHARE / bytes / workers as f64) as usize).min(most);
    let spare_max = share(request_bytes, WORKER_SPARE_MAX);
    let oversized_max = share(OVERSIZED_BYTES as f64, WORKER_OVERSIZED_MAX);
    let kept_bodies_max = share(kept_body_bytes, WORKER_KEPT_BODIES_MAX);
    // Where TLS brings HTTP/2, every connection is counted as one that speaks it.
    let http2_bytes = HTTP2_CONNECTION_BYTES - connection_bytes(config);
    let speaks_http2 = config.listeners.iter().any(|listener| listener.http2);
    let http2_connections_max = if speaks_http2 { share(http2_bytes, connections) } else { 0 };
    let most_wide = if speaks_http2 { WORKER_WIDE_WINDOWS_MAX } else { 0 };
    let wide_windows_max = share(2.0 * WIDE_WINDOW_BYTES, most_wide);
    let shared = spare_max as f64 * request_bytes
        + oversized_max as f64 * OVERSIZED_BYTES as f64
        + kept_bodies_max as f64 * kept_body_bytes
        + http2_connections_max as f64 * http2_bytes
        + wide_windows_max as f64 * WIDE_WINDOW_BYTES;
    let fitting = ((for_requests - shared * workers as f64) / request_bytes) as usize;
    let lent_max = match config.limit.requests {
        RequestLimit::Auto => {
            fitting.max(REQUESTS_MIN).min(connections.saturating_mul(of_a_connection(config)))
        }
        RequestLimit::Most(most) => most as usize,
    };
    WorkspaceLimits {
        lent_max,
        spare_max,
        oversized_max,
        kept_bodies_max,
        http2_connections_max,
        wide_windows_max,
    }
}

/// How many requests one connection can have in service.
fn of_a_connection(config: &Config) -> usize {
    let speaks_http2 = config.listeners.iter().any(|listener| listener.http2);
    if speaks_http2 { config.limit.streams as usize } else { 1 }
}

/// Of the most expensive listener. HTTP/2 in the clear has a share of its own: browsers do not speak it.
fn connection_bytes(config: &Config) -> f64 {
    let of = |listener: &Listener| match (&listener.tls, listener.http2) {
        (None, _) => CONNECTION_BYTES,
        (Some(_), false) => TLS_CONNECTION_BYTES,
        (Some(_), true) => HTTP2_CONNECTION_BYTES,
    };
    config.listeners.iter().map(of).fold(CONNECTION_BYTES, f64::max)
}

/// What one request takes that fills both of its buffers and has the longest heads that are allowed.
fn request_bytes(config: &Config) -> f64 {
    let head = config.limit.head_bytes as f64;
    // A head that does not fit a buffer makes it grow, to twice as much at most; each is written out once, to a vector.
    let buffers = (WORKSPACE_BYTES as f64).max(4.0 * head);
    let speaks_http2 = config.listeners.iter().any(|listener| listener.http2);
    let with_client = if speaks_http2 { HTTP2_REQUEST_BYTES } else { 0.0 };
    let endpoints_do = config.clusters.iter().any(|cluster| cluster.http2);
    let with_endpoint = if endpoints_do { ENDPOINT_REQUEST_BYTES as f64 } else { 0.0 };
    buffers
        + with_client
        + with_endpoint
        + 2.0 * head
        + f64::from(config.limit.field_count) * FIELD_BYTES
        + REQUEST_BYTES
}

/// The longest body that some route keeps.
fn kept_body_bytes(config: &Config) -> u64 {
    let kept = config.routes.iter().filter_map(|route| match &route.action {
        Action::Forward(forward) => Some(forward.retry.body_bytes),
        Action::Answer(_) | Action::Redirect(_) => None,
    });
    kept.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "listen = \":8080\"\nto = \"10.0.0.1:80\"\n";
    const HTTP1: &str = "to = \"10.0.0.1:80\"\n[[listener]]\nbind = \":8080\"\nhttp2 = false\n";
    const HTTPS: &str =
        "to = \"10.0.0.1:80\"\n[[listener]]\nbind = \":443\"\ntls = { cert = \"c.pem\", key = \"k.pem\" }\n";

    fn of(text: &str, workers: usize, memory_bytes: Option<u64>) -> Shares {
        let (config, _) = Config::parse("test", text, &|_| None).unwrap();
        shares(&config, workers, memory_bytes)
    }

    fn limits(more: &str, workers: usize, memory_bytes: Option<u64>) -> WorkspaceLimits {
        of(&format!("{SMALL}{more}"), workers, memory_bytes).workspaces
    }

    fn most_bytes(shares: Shares, workers: usize, connection_bytes: f64) -> f64 {
        let limits = shares.workspaces;
        let of_a_worker = limits.spare_max as f64 * WORKSPACE_BYTES as f64
            + limits.oversized_max as f64 * OVERSIZED_BYTES as f64
            + limits.kept_bodies_max as f64 * 64.0 * KIB
            + limits.wide_windows_max as f64 * WIDE_WINDOW_BYTES;
        limits.lent_max as f64 * (WORKSPACE_BYTES as f64 + HTTP2_REQUEST_BYTES)
            + (of_a_worker + WORKER_BYTES) * workers as f64
            + shares.connections_max as f64 * connection_bytes
            + PROGRAM_BYTES
    }

    #[test]
    fn all_that_may_be_used_at_once_fits() {
        for (text, connection_bytes) in [(SMALL, CONNECTION_BYTES), (HTTPS, HTTP2_CONNECTION_BYTES)] {
            for mib in [48, 64, 128, 256, 1024, 16 * 1024] {
                for workers in [1, 2, 8] {
                    let shares = of(text, workers, Some(mib << 20));
                    let most = most_bytes(shares, workers, connection_bytes);
                    assert!(most < 0.8 * MIB * mib as f64, "{most} of {mib} MiB with {workers}: {shares:?}");
                }
            }
        }
    }

    #[test]
    fn little_memory_means_few_requests_and_much_as_many_as_connections_can_make() {
        let requests = |memory_bytes| limits("", 2, memory_bytes).lent_max;
        assert_eq!(requests(Some(0)), REQUESTS_MIN);
        assert!((40..120).contains(&requests(Some(64 << 20))), "{}", requests(Some(64 << 20)));
        assert!(requests(Some(128 << 20)) > 2 * requests(Some(64 << 20)));
        assert_eq!(requests(None), 10_000 * 100, "as many streams as HTTP/2 allows");
        let plain = |more: &str| of(&format!("{HTTP1}{more}"), 2, Some(16 << 30)).workspaces.lent_max;
        assert_eq!((plain(""), plain("[limit]\nconnections = 5\n")), (10_000, 5), "one each");
    }

    #[test]
    fn no_more_connections_are_open_than_fit_and_those_of_tls_take_more() {
        let connections = |text: &str, mib: u64| of(text, 2, Some(mib << 20)).connections_max;
        assert_eq!((connections(SMALL, 64), connections(HTTPS, 2048)), (10_000, 10_000));
        assert!((400..2000).contains(&connections(HTTPS, 64)), "{}", connections(HTTPS, 64));
        assert!(connections(&format!("{HTTPS}http2 = false\n"), 64) > connections(HTTPS, 64));
        assert_eq!(connections(HTTPS, 0), CONNECTIONS_MIN);
        assert_eq!(of(HTTPS, 2, None).connections_max, 10_000);
    }

    #[test]
    fn what_the_file_says_counts_whatever_the_memory() {
        assert_eq!(limits("limit.requests = 7\n", 2, None).lent_max, 7);
        assert_eq!(limits("limit.requests = 70000\n", 2, Some(0)).lent_max, 70_000);
    }

    #[test]
    fn longer_heads_and_bodies_that_are_kept_leave_room_for_fewer() {
        let requests = |more: &str| limits(more, 2, Some(256 << 20)).lent_max;
        let usual = requests("");
        assert!(requests("limit.head_bytes = \"1MiB\"\n") < usual / 8);
        assert!(requests("limit.connections = 50000\n") < usual);
        assert!(requests("endpoint_http2 = true\n") < usual / 2);
        let kept = limits("retry.body_bytes = \"1MiB\"\n", 2, Some(256 << 20)).kept_bodies_max;
        assert!(kept < limits("", 2, Some(256 << 20)).kept_bodies_max);
    }

    #[test]
    fn each_worker_has_its_share_of_the_handshakes_and_one_at_least() {
        let handshakes = |more: &str, workers| of(&format!("{SMALL}{more}"), workers, None).handshakes_max;
        assert_eq!(handshakes("", 2), WORKER_HANDSHAKES);
        let limited = [(8, 2), (9, 2), (1, 8)]
            .map(|(most, workers)| handshakes(&format!("limit.handshakes = {most}\n"), workers));
        assert_eq!(limited, [4, 5, 1]);
    }

    #[test]
    fn where_there_is_no_limit_each_worker_keeps_as_much_as_is_of_use() {
        let limits = limits("", 4, None);
        assert_eq!((limits.spare_max, limits.oversized_max), (WORKER_SPARE_MAX, WORKER_OVERSIZED_MAX));
    }
}
