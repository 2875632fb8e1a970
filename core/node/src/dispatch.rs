//! From a frame to an answer: the header, the version check, the handler. What a request means is in `api/`, a file each.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ottla_io::{BoxFuture, Op};
use ottla_rpc::{Part, Peer, Rejected, Reply, Service};
use ottla_types::Event;
use ottla_wire::header::{RequestHeader, ResponseHeader};
use ottla_wire::{ApiKey, Message, Reader};

use crate::Node;
use crate::api;

/// A request that was accepted for serving.
pub struct Request<'a> {
    /// Who sent it.
    pub peer: &'a Peer,
    /// What it is.
    pub api: ApiKey,
    /// In which version; its answer goes out in the same.
    pub version: i16,
    /// Its number on the connection.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
    /// The body.
    pub body: Reader<'a>,
}

/// A request that can't be answered: the connection is closed, for this reason.
pub struct Reject(pub String);

impl Reject {
    /// Names the client.
    fn of(self, client_id: Option<&str>) -> Rejected {
        Rejected {
            client_id: client_id.unwrap_or_default().to_string(),
            reason: self.0,
        }
    }
}

impl<E: std::error::Error> From<E> for Reject {
    fn from(error: E) -> Self {
        Reject(error.to_string())
    }
}

impl Request<'_> {
    /// The whole answer.
    pub fn answer<'m>(&self, message: &impl Message<'m>) -> Result<Reply, Reject> {
        answer(self.api, self.version, self.correlation_id, message)
    }
}

/// The whole answer, for who has taken the request apart already.
pub fn answer<'m>(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    message: &impl Message<'m>,
) -> Result<Reply, Reject> {
    let mut out = begin(api, version, correlation_id)?;
    message.encode(&mut out, version)?;
    Ok(Reply::Bytes(finish(out)))
}

fn begin(api: ApiKey, version: i16, correlation_id: i32) -> Result<Vec<u8>, Reject> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&[0; 4]);
    // An ApiVersions answer always has the oldest header, so that clients of any age can read it (KIP-511).
    let flexible = api != ApiKey::ApiVersions && api.response_is_flexible(version);
    ResponseHeader { correlation_id }.encode(&mut out, i16::from(flexible))?;
    Ok(out)
}

/// Puts the length in front of an answer.
fn finish(mut out: Vec<u8>) -> Bytes {
    let length = (out.len() - 4) as i32;
    if let Some(prefix) = out.first_chunk_mut::<4>() {
        *prefix = length.to_be_bytes();
    }
    Bytes::from(out)
}

/// The request service of a listener.
pub struct Dispatcher(pub Arc<Node>);

impl Service for Dispatcher {
    fn call(&self, peer: &Peer, frame: BytesMut) -> Op<(Reply, Option<BytesMut>)> {
        self.begin(peer, frame, false)
    }

    fn call_ahead(&self, peer: &Peer, frame: BytesMut, next: &[u8]) -> Op<(Reply, Option<BytesMut>)> {
        // Only produce requests leave work for each other; any other request finds what came before it in the log.
        let key = next.first_chunk::<2>().map(|key| i16::from_be_bytes(*key));
        self.begin(peer, frame, key == Some(ApiKey::Produce as i16))
    }
}

impl Dispatcher {
    fn begin(&self, peer: &Peer, frame: BytesMut, more: bool) -> Op<(Reply, Option<BytesMut>)> {
        let mut serving: BoxFuture<'static, _> = Box::pin(serve(self.0.clone(), peer.clone(), frame, more));
        // Most requests are done when they are first looked at; the connection then needs no wake-up for them.
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match serving.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(done) => Op::ready(done),
            std::task::Poll::Pending => Op::pending(serving),
        }
    }
}

/// `more`: another produce request of the connection is there already.
async fn serve(node: Arc<Node>, peer: Peer, frame: BytesMut, more: bool) -> (Reply, Option<BytesMut>) {
    let (started, received) = (node.env.clock.now(), frame.len());
    let (api, result, frame) = route(&node, &peer, frame, more).await;
    let reply = result.unwrap_or_else(Reply::Close);
    if let Some(api) = api {
        let sent = match &reply {
            Reply::Bytes(bytes) => Some(bytes.len()),
            Reply::Parts(parts) => Some(parts.iter().map(Part::len).sum()),
            Reply::Nothing => Some(0),
            Reply::Close(_) => None,
        };
        match sent {
            Some(sent) => node
                .metrics
                .served(api, node.env.clock.now().since(started), received, sent),
            None => node.metrics.rejected(api),
        }
    }
    (reply, frame)
}

async fn route(
    node: &Arc<Node>,
    peer: &Peer,
    mut frame: BytesMut,
    more: bool,
) -> (Option<ApiKey>, Result<Reply, Rejected>, Option<BytesMut>) {
    let request = match parse(peer, &frame) {
        Ok(request) => request,
        Err(rejected) => return (None, Err(rejected), None),
    };
    let (api, version, client) = (request.api, request.version, request.client_id);
    let served = api::served(api).is_some_and(|(low, high)| low <= version && version <= high);
    if !served && api != ApiKey::ApiVersions {
        let reason = format!("{api} version {version} is not served; ApiVersions lists what is");
        return (None, Err(Reject(reason).of(client)), None);
    }
    if api == ApiKey::Produce {
        let (head, at) = (api::produce::Head::of(&request), request.body.offset());
        // The batches are cut out of what is behind the header, which is kept to name the client by.
        let header = frame.split_to(at);
        let (reply, frame) = api::produce::handle(node, head, at, frame, more).await;
        let named = |reject: Reject| reject.of(parse(peer, &header).ok().and_then(|r| r.client_id));
        return (Some(api), reply.map_err(named), frame);
    }
    let reply = api::handle(node, request).await;
    (Some(api), reply.map_err(|reject| reject.of(client)), Some(frame))
}

fn parse<'a>(peer: &'a Peer, frame: &'a [u8]) -> Result<Request<'a>, Rejected> {
    read(peer, frame).map_err(|reject| {
        // Every version of the header begins alike, so that a client can be named whose request can't be read.
        let header = RequestHeader::decode(&mut Reader::new(frame), 1).ok();
        reject.of(header.and_then(|header| header.client_id))
    })
}

fn read<'a>(peer: &'a Peer, frame: &'a [u8]) -> Result<Request<'a>, Reject> {
    let mut body = Reader::new(frame);
    let mut fixed = Reader::new(frame);
    let (key, version) = (fixed.i16()?, fixed.i16()?);
    let api = ApiKey::try_from(key).map_err(|_| Reject(format!("unknown API key {key}")))?;
    let flexible = api.request_is_flexible(version);
    let header = RequestHeader::decode(&mut body, if flexible { 2 } else { 1 })?;
    Ok(Request {
        peer,
        api,
        version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        body,
    })
}

/// Tells the log, once, that a connection was closed for what its peer sent.
pub fn reject(node: &Node, peer: &Peer, client_id: &str, reason: &str) {
    tracing::warn!(peer = %peer.addr, listener = %peer.listener, client_id, reason, "connection closed");
    node.env.observe(|| Event::PeerRejected {
        peer: peer.addr.to_string(),
        client_id: client_id.to_string(),
        reason: reason.to_string(),
    });
}
