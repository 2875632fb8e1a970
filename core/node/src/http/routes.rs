//! What is at which path.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use ottla_io::run_blocking;

use crate::Node;
use crate::metrics::Format;

const TEXT: &str = "text/plain; charset=utf-8";

/// A body that is there as a whole.
pub struct Text(Bytes);

impl Body for Text {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let all = std::mem::take(&mut self.0);
        Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Text> {
    let mut response = Response::new(Text(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers a request; without a node the process is about to end.
pub async fn answer(node: Option<Arc<Node>>, request: &Request<Incoming>) -> Response<Text> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/v1/ready" | "/v1/broker-state") {
        let text = "there is nothing here: GET /metrics for Prometheus, GET /v1/ready for a readiness probe, GET \
                    /v1/broker-state for Kafka's number of the node's state\n";
        return response(StatusCode::NOT_FOUND, TEXT, text);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let text = format!("{path} can only be read: use GET or HEAD\n");
        let mut refused = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Some(node) = node else {
        return response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the node has stopped\n");
    };
    if path == "/metrics" {
        let accept = request.headers().get(ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        metrics(node, Format::accepted(accept)).await
    } else if path == "/v1/broker-state" {
        response(StatusCode::OK, "application/json", node.broker_state())
    } else {
        let readiness = node.readiness().await;
        let status = if readiness.ready() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        response(status, "application/json", readiness.to_json())
    }
}

/// The page is made off the workers: with many partitions it takes its time.
async fn metrics(node: Arc<Node>, format: Format) -> Response<Text> {
    let tasks = node.env.tasks.clone();
    let page = run_blocking(&*tasks, "metrics", move || node.snapshot().page(format)).await;
    match page {
        Some(Ok(page)) => response(StatusCode::OK, format.content_type(), page),
        _ => response(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "the page could not be made: the node is stopping\n",
        ),
    }
}
