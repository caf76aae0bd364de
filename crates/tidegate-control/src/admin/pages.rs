//! What each path of the admin listener answers.

use super::host::is_ours;
use crate::gauges;
use crate::overview::Overview;
use crate::status::Status;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use tidegate_config::Bind;
use tidegate_telemetry::exposition::{self, Format};
use tidegate_telemetry::process::Process;

const INDEX: &str = "\
tidegate admin
  /livez    200 as long as the process answers
  /readyz   200 while it accepts requests, 503 while it drains
  /metrics  counters, gauges and histograms (OpenMetrics or Prometheus text)
  /status   clusters, endpoints and listeners as JSON
";

pub(super) fn router(bind: Bind, overview: Arc<Overview>) -> Router {
    Router::new()
        .route("/", get(INDEX))
        .route("/livez", get("alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .fallback((StatusCode::NOT_FOUND, INDEX))
        .layer(from_fn_with_state(Arc::new(bind), guard))
        .with_state(overview)
}

/// Nothing but reading, and nothing for pages from elsewhere.
async fn guard(State(bind): State<Arc<Bind>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !is_ours(&bind, host) {
        let why = "this host name is not served here: use the address, or localhost\n";
        return (StatusCode::MISDIRECTED_REQUEST, why).into_response();
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let allowed = [(header::ALLOW, "GET, HEAD")];
        return (StatusCode::METHOD_NOT_ALLOWED, allowed, "only GET and HEAD\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    response
}

async fn readyz(State(overview): State<Arc<Overview>>) -> (StatusCode, &'static str) {
    if overview.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining: finishing what is open, accepting nothing new\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(overview): State<Arc<Overview>>, headers: HeaderMap) -> Response {
    gauges::fill(&overview);
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::negotiate(accept);
    let process = Process::read()
        .map(|process| Process { heap_allocations: tidegate_sys::heap_allocations(), ..process });
    let page = exposition::render(&overview.registry, process.as_ref(), format);
    ([(header::CONTENT_TYPE, format.content_type())], page).into_response()
}

async fn status(State(overview): State<Arc<Overview>>) -> Json<Status> {
    Json(Status::read(&overview))
}
