//! The HTTP port (`ottla.http.listeners`): `/metrics`, `/v1/ready` and `/v1/broker-state`, for scrapers and probes. It listens before logs are loaded
//! and until they are closed, so that a node that starts or stops says so.
//!
//! Nobody who connects is trusted: one request per connection, with a small head, soon; a bounded number of connections.

mod io;
mod routes;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use ottla_io::{Clock, Env, Listener, Stream, Task, timeout_at};

use crate::Node;
use crate::start::StartError;
use io::HttpIo;

/// Connections at the same time; more are closed at once.
const CONNECTIONS: usize = 16;
/// The largest head of a request, and how many headers it may have.
const HEAD: usize = 8 << 10;
const HEADERS: usize = 64;
/// When a request must have come whole.
const ASK: Duration = Duration::from_secs(5);
/// When its answer must have left.
const ANSWER: Duration = Duration::from_secs(30);

/// Opens the port of every HTTP listener. The result is where, and the tasks that serve them.
pub async fn open(node: &Arc<Node>) -> Result<Vec<(std::net::SocketAddr, Task)>, StartError> {
    let mut open = Vec::new();
    let slots = Slots::default();
    for (host, port) in node.broker().http_listeners() {
        let listener = node.env.net.listen(host, *port).await;
        let listener = listener.map_err(|error| StartError::Listen {
            address: format!("{host}:{port}"),
            key: "ottla.http.listeners",
            error,
        })?;
        let address = listener.local_addr();
        tracing::info!("http://{address} serves /metrics and /v1/ready");
        let accepting = accept(node.env.clone(), listener, Arc::downgrade(node), slots.clone());
        open.push((
            address,
            node.env.tasks.spawn("http-listener", Box::pin(accepting)),
        ));
    }
    Ok(open)
}

/// How many connections there are, of all HTTP listeners.
#[derive(Clone, Default)]
struct Slots(Arc<AtomicUsize>);

/// One connection's place.
struct Slot(Slots);

impl Slots {
    fn take(&self) -> Option<Slot> {
        let slot = Slot(self.clone());
        // Over the limit the slot is dropped, and with it given back.
        (self.0.fetch_add(1, Ordering::Relaxed) < CONNECTIONS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(env: Env, mut listener: Box<dyn Listener>, node: Weak<Node>, slots: Slots) {
    loop {
        match std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok((stream, peer)) => {
                let Some(slot) = slots.take() else {
                    tracing::debug!(%peer, "an HTTP connection was closed: there are {CONNECTIONS} already");
                    continue;
                };
                let serving = serve(env.clock.clone(), stream, node.clone(), slot);
                env.tasks.spawn("http", Box::pin(serving));
            }
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                env.clock.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one request, unless it takes too long to come or to be answered.
async fn serve(clock: Arc<dyn Clock>, stream: Box<dyn Stream>, node: Weak<Node>, slot: Slot) {
    let asked = AtomicBool::new(false);
    let service = service_fn(|request| {
        asked.store(true, Ordering::Relaxed);
        let node = node.upgrade();
        async move { Ok::<_, std::convert::Infallible>(routes::answer(node, &request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        // Deadlines are kept here, by the node's clock; the date would come from another.
        .header_read_timeout(None)
        .auto_date_header(false)
        .serve_connection(HttpIo::new(stream), service);
    let mut connection = pin!(connection);
    if timeout(&*clock, ASK, connection.as_mut()).await.is_none() && asked.load(Ordering::Relaxed) {
        timeout(&*clock, ANSWER, connection).await;
    }
    drop(slot);
}

/// `future`'s end, however it ended, or `None` after `patience`.
async fn timeout(clock: &dyn Clock, patience: Duration, future: impl Future) -> Option<()> {
    timeout_at(clock, clock.now().after(patience), future)
        .await
        .map(drop)
}
