//! `/healthz`, `/readyz` and `/metrics` over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use towtank_operator::Metrics;
use tracing::warn;

/// Connections at the same time.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// How long after a connection that could not be accepted the next is tried.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until the process ends.
///
/// # Errors
///
/// The address cannot be had.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    is_ready: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            // Never closed.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let (metrics, is_ready) = (metrics.clone(), Arc::clone(&is_ready));
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = answer(&request, &metrics, is_ready.load(Ordering::Relaxed));
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(CONNECTION_TIME)
                    .serve_connection(TokioIo::new(stream), service);
                // What a client does to its connection is its own affair.
                let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
                drop(permit);
            });
        }
    });
    Ok(())
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, is_ready: bool) -> Response<Full<Bytes>> {
    let (code, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, "/readyz") if is_ready => {
            (StatusCode::OK, "text/plain", "ok\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/readyz") => {
            (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the API server was not reached yet\n".to_owned())
        }
        (&Method::GET, "/metrics") => {
            (StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.text())
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", "/healthz, /readyz or /metrics\n".to_owned()),
    };
    let response =
        Response::builder().status(code).header("content-type", kind).body(Full::new(Bytes::from(text)));
    response.unwrap_or_else(|_| Response::new(Full::default()))
}
