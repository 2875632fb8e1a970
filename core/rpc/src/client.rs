//! A client's side of one connection: requests are pipelined, responses are matched in order by correlation id, each call has
//! a deadline. Connecting includes the ApiVersions negotiation (KIP-511). What the requests mean, which broker to ask and
//! when to try again is not here (`ottla-client`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_io::{Clock, Env, Mono, Sleep, Stream, timeout_at};
use ottla_types::ErrorCode;
use ottla_wire::header::{RequestHeader, ResponseHeader, request_header_version, response_header_version};
use ottla_wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_wire::{ApiKey, DecodeError, EncodeError, Message, Reader, Request};
use tokio::sync::{mpsc, oneshot};

use crate::input::Input;
use crate::output::{Output, Part};

/// More calls wait on this side while this much has not left: a call without an answer is not held back otherwise.
const MAX_QUEUED: usize = 1 << 20;

/// How a client connects and calls.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `client.id`.
    pub client_id: String,
    /// `socket.connection.setup.timeout.ms`, the negotiation included.
    pub connect_timeout: Duration,
    /// `request.timeout.ms`: the deadline of a call that names none.
    pub request_timeout: Duration,
    /// The largest response that is accepted.
    pub max_frame: usize,
    /// `max.in.flight.requests.per.connection`: more calls wait on this side.
    pub max_in_flight: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            client_id: "ottla".to_owned(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_frame: 128 << 20,
            max_in_flight: 100,
        }
    }
}

/// Why a call gave no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// No connection came about: nothing was sent.
    Connect {
        /// The operating system's kind.
        kind: io::ErrorKind,
        /// What failed.
        message: String,
    },
    /// The deadline passed. The broker may have done what was asked.
    Timeout {
        /// What was waited for.
        what: &'static str,
    },
    /// The connection ended first. The broker may have done what was asked.
    Closed(String),
    /// The broker does not speak a version that this client knows: nothing was sent.
    Unsupported {
        /// The API.
        api: ApiKey,
    },
    /// The request can't be written in that version: nothing was sent.
    Encode(EncodeError),
    /// The response can't be read.
    Decode(DecodeError),
    /// The broker refused the negotiation.
    Refused(ErrorCode),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Connect { message, .. } => write!(f, "can't connect: {message}"),
            CallError::Timeout { what } => write!(f, "no answer in time to {what}"),
            CallError::Closed(why) => write!(f, "the connection ended: {why}"),
            CallError::Unsupported { api } => {
                write!(f, "the broker serves no known version of {}", api.name())
            }
            CallError::Encode(e) => write!(f, "the request can't be written: {e}"),
            CallError::Decode(e) => write!(f, "the response can't be read: {e}"),
            CallError::Refused(code) => write!(f, "the broker refused the negotiation: {code}"),
        }
    }
}

impl std::error::Error for CallError {}

impl CallError {
    /// Whether the request certainly never reached the broker.
    pub fn nothing_sent(&self) -> bool {
        matches!(
            self,
            CallError::Connect { .. }
                | CallError::Unsupported { .. }
                | CallError::Encode(_)
                | CallError::Refused(_)
        )
    }
}

struct Call {
    api: ApiKey,
    version: i16,
    body: Vec<Bytes>,
    answered: bool,
    deadline: Mono,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
}

/// A handle of one open connection. Clones share it; it closes when the last one is dropped and nothing is under way.
#[derive(Clone)]
pub struct ClientConnection {
    calls: mpsc::UnboundedSender<Call>,
    clock: Arc<dyn Clock>,
    request_timeout: Duration,
    versions: Arc<BTreeMap<i16, (i16, i16)>>,
}

impl ClientConnection {
    /// Connects to `host:port` and negotiates versions.
    pub async fn connect(
        env: &Env,
        host: &str,
        port: u16,
        options: &ClientOptions,
    ) -> Result<Self, CallError> {
        let deadline = env.clock.now().after(options.connect_timeout);
        let stream = timeout_at(env.clock.as_ref(), deadline, env.net.connect(host, port))
            .await
            .ok_or_else(|| CallError::Connect {
                kind: io::ErrorKind::TimedOut,
                message: format!(
                    "{host}:{port} did not answer within {:?}",
                    options.connect_timeout
                ),
            })?
            .map_err(|e| CallError::Connect {
                kind: e.kind(),
                message: e.to_string(),
            })?;
        let (calls, queue) = mpsc::unbounded_channel();
        let driver = Driver::new(stream, queue, env.clock.clone(), options);
        drop(env.tasks.spawn("client connection", Box::pin(driver.run())));
        let mut connection = ClientConnection {
            calls,
            clock: env.clock.clone(),
            request_timeout: options.request_timeout,
            versions: Arc::default(),
        };
        connection.versions = Arc::new(negotiate(&connection, deadline).await?);
        Ok(connection)
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    /// The highest version that both sides have, not above `cap`.
    pub fn version_up_to<'a, R: Request<'a>>(&self, cap: i16) -> Result<i16, CallError> {
        let api = R::API_KEY.ok_or(CallError::Encode(EncodeError::UnsupportedVersion {
            message: R::NAME,
            version: cap,
        }))?;
        let (low, high) = self
            .versions
            .get(&api.id())
            .copied()
            .ok_or(CallError::Unsupported { api })?;
        let version = high.min(R::VERSIONS.1).min(cap);
        if version < low.max(R::VERSIONS.0) {
            Err(CallError::Unsupported { api })
        } else {
            Ok(version)
        }
    }

    /// The highest version that both sides have.
    pub fn version<'a, R: Request<'a>>(&self) -> Result<i16, CallError> {
        self.version_up_to::<R>(i16::MAX)
    }

    /// Writes `request` in `version` and returns the body of its response.
    pub async fn request<'a, R: Request<'a>>(&self, version: i16, request: &R) -> Result<Bytes, CallError> {
        let api = R::API_KEY.ok_or(CallError::Encode(EncodeError::UnsupportedVersion {
            message: R::NAME,
            version,
        }))?;
        let mut body = Vec::new();
        request.encode(&mut body, version).map_err(CallError::Encode)?;
        self.call(
            api,
            version,
            vec![body.into()],
            self.clock.now().after(self.request_timeout),
        )
        .await
    }

    /// Sends an encoded body (in pieces, which are not copied) and returns the body of the response, without its header.
    /// When the deadline passes the connection is closed, as Kafka's `NetworkClient` does: later answers could not be told
    /// apart from lost ones.
    pub async fn call(
        &self,
        api: ApiKey,
        version: i16,
        body: Vec<Bytes>,
        deadline: Mono,
    ) -> Result<Bytes, CallError> {
        self.submit(api, version, body, deadline, true).await
    }

    /// Sends a request that has no response (Produce with acks=0). Returns when its turn to be written has come.
    pub async fn call_unanswered(
        &self,
        api: ApiKey,
        version: i16,
        body: Vec<Bytes>,
        deadline: Mono,
    ) -> Result<(), CallError> {
        self.submit(api, version, body, deadline, false).await.map(drop)
    }

    async fn submit(
        &self,
        api: ApiKey,
        version: i16,
        body: Vec<Bytes>,
        deadline: Mono,
        answered: bool,
    ) -> Result<Bytes, CallError> {
        let (reply, response) = oneshot::channel();
        let gone = || CallError::Closed("it was closed before the call".to_owned());
        self.calls
            .send(Call {
                api,
                version,
                body,
                answered,
                deadline,
                reply,
            })
            .map_err(|_| gone())?;
        response.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Asks for the broker's versions, in our newest one first. A broker that lacks it answers in version 0 and says what it has.
async fn negotiate(
    connection: &ClientConnection,
    deadline: Mono,
) -> Result<BTreeMap<i16, (i16, i16)>, CallError> {
    let request = ApiVersionsRequest {
        client_software_name: "ottla",
        client_software_version: env!("CARGO_PKG_VERSION"),
    };
    let mut version = ApiVersionsRequest::VERSIONS.1;
    loop {
        let mut body = Vec::new();
        request.encode(&mut body, version).map_err(CallError::Encode)?;
        let body = connection
            .call(ApiKey::ApiVersions, version, vec![body.into()], deadline)
            .await?;
        let code = Reader::new(&body).i16().map_err(CallError::Decode)?;
        let unsupported = code == ErrorCode::UnsupportedVersion.code();
        let response =
            ApiVersionsResponse::decode(&mut Reader::new(&body), if unsupported { 0 } else { version });
        match response {
            Ok(response) if code == 0 => {
                return Ok(response
                    .api_keys
                    .iter()
                    .map(|k| (k.api_key, (k.min_version, k.max_version)))
                    .collect());
            }
            Ok(response) if unsupported && version > 0 => {
                let theirs = response
                    .api_keys
                    .iter()
                    .find(|k| k.api_key == ApiKey::ApiVersions.id());
                version = theirs.map_or(0, |k| k.max_version).clamp(0, version - 1);
            }
            Ok(_) => {
                return Err(CallError::Refused(
                    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError),
                ));
            }
            Err(e) => return Err(CallError::Decode(e)),
        }
    }
}

struct Waiting {
    correlation: i32,
    api: ApiKey,
    version: i16,
    deadline: Mono,
    reply: oneshot::Sender<Result<Bytes, CallError>>,
}

/// The connection's task.
struct Driver {
    stream: Box<dyn Stream>,
    queue: mpsc::UnboundedReceiver<Call>,
    clock: Arc<dyn Clock>,
    client_id: String,
    max_in_flight: usize,
    input: Input,
    output: Output,
    waiting: VecDeque<Waiting>,
    correlation: i32,
    no_more_calls: bool,
    timer: Option<(Mono, Sleep)>,
}

enum End {
    /// Every handle was dropped.
    Released,
    /// The first call waited too long.
    Timeout,
    Failed(String),
}

impl Driver {
    fn new(
        stream: Box<dyn Stream>,
        queue: mpsc::UnboundedReceiver<Call>,
        clock: Arc<dyn Clock>,
        options: &ClientOptions,
    ) -> Self {
        Driver {
            stream,
            queue,
            clock,
            client_id: options.client_id.clone(),
            max_in_flight: options.max_in_flight.max(1),
            input: Input::new(options.max_frame),
            output: Output::default(),
            waiting: VecDeque::new(),
            correlation: 0,
            no_more_calls: false,
            timer: None,
        }
    }

    async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.queue.close();
        let why = match &end {
            End::Released => "it is not used any more",
            End::Timeout => "an earlier request was not answered in time",
            End::Failed(why) => why,
        };
        let now = self.clock.now();
        for waiting in self.waiting.drain(..) {
            let late = matches!(end, End::Timeout) && waiting.deadline <= now;
            let error = if late {
                CallError::Timeout {
                    what: waiting.api.name(),
                }
            } else {
                CallError::Closed(why.to_owned())
            };
            let _ = waiting.reply.send(Err(error));
        }
        while let Ok(call) = self.queue.try_recv() {
            let _ = call.reply.send(Err(CallError::Closed(why.to_owned())));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let mut progress = match self.poll_calls(cx) {
                Ok(progress) => progress,
                Err(why) => return Poll::Ready(End::Failed(why)),
            };
            let before = self.output.queued();
            if let Poll::Ready(Err(e)) = self.output.poll_flush(cx, self.stream.as_mut()) {
                return Poll::Ready(End::Failed(e.to_string()));
            }
            progress |= self.output.queued() != before;
            match self.poll_responses(cx) {
                Ok(more) => progress |= more,
                Err(why) => return Poll::Ready(End::Failed(why)),
            }
            if self.no_more_calls && self.waiting.is_empty() && self.output.queued() == 0 {
                return Poll::Ready(End::Released);
            }
            if !progress {
                return self.poll_timer(cx);
            }
        }
    }

    /// Takes calls while there is room for them on the wire.
    fn poll_calls(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        let mut progress = false;
        let room = |driver: &Self| {
            driver.waiting.len() < driver.max_in_flight && driver.output.queued() <= MAX_QUEUED
        };
        while room(self) && !self.no_more_calls {
            match self.queue.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => self.no_more_calls = true,
                Poll::Ready(Some(call)) => self.begin(call)?,
            }
            progress = true;
        }
        Ok(progress)
    }

    fn begin(&mut self, call: Call) -> Result<(), String> {
        self.correlation = self.correlation.wrapping_add(1) & i32::MAX;
        let header = RequestHeader {
            request_api_key: call.api.id(),
            request_api_version: call.version,
            correlation_id: self.correlation,
            client_id: Some(&self.client_id),
        };
        let mut head = vec![0; 4];
        if let Err(e) = header.encode(&mut head, request_header_version(call.api, call.version)) {
            let _ = call.reply.send(Err(CallError::Encode(e)));
            return Ok(());
        }
        let length = head.len() - 4 + call.body.iter().map(Bytes::len).sum::<usize>();
        let Ok(prefix) = i32::try_from(length) else {
            let _ = call.reply.send(Err(CallError::Encode(EncodeError::TooLong {
                field: "frame",
                length,
            })));
            return Ok(());
        };
        if let Some(place) = head.first_chunk_mut::<4>() {
            *place = prefix.to_be_bytes();
        }
        self.output.push(Part::Bytes(head.into()));
        call.body
            .into_iter()
            .for_each(|piece| self.output.push(Part::Bytes(piece)));
        if call.answered {
            self.waiting.push_back(Waiting {
                correlation: self.correlation,
                api: call.api,
                version: call.version,
                deadline: call.deadline,
                reply: call.reply,
            });
        } else {
            let _ = call.reply.send(Ok(Bytes::new()));
        }
        Ok(())
    }

    fn poll_responses(&mut self, cx: &mut Context<'_>) -> Result<bool, String> {
        let mut progress = false;
        let need = loop {
            match self.input.next_frame() {
                Ok(Ok(frame)) => {
                    self.answer(frame)?;
                    progress = true;
                }
                Ok(Err(need)) => break need,
                Err(e) => return Err(e.to_string()),
            }
        };
        match self.input.poll_fill(cx, self.stream.as_mut(), need) {
            Poll::Ready(Ok(())) => Ok(true),
            Poll::Ready(Err(e)) => Err(e.to_string()),
            Poll::Pending => Ok(progress),
        }
    }

    fn answer(&mut self, frame: BytesMut) -> Result<(), String> {
        let Some(waiting) = self.waiting.pop_front() else {
            return Err("the broker sent a response that nobody asked for".to_owned());
        };
        let mut frame = frame.freeze();
        let mut reader = Reader::new(&frame);
        let header =
            ResponseHeader::decode(&mut reader, response_header_version(waiting.api, waiting.version));
        let offset = reader.offset();
        let result = match header {
            Ok(header) if header.correlation_id == waiting.correlation => {
                frame.advance(offset);
                let _ = waiting.reply.send(Ok(frame));
                return Ok(());
            }
            Ok(header) => format!(
                "response {} came where {} was due",
                header.correlation_id, waiting.correlation
            ),
            Err(e) => e.to_string(),
        };
        let _ = waiting.reply.send(Err(CallError::Closed(result.clone())));
        Err(result)
    }

    /// Ends the connection when a call's deadline has passed.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let Some(first) = self.waiting.iter().map(|w| w.deadline).min() else {
                self.timer = None;
                return Poll::Pending;
            };
            // A timer that is too early is kept: it is cheaper to look again than to arm one for each call.
            if self.timer.as_ref().is_none_or(|(at, _)| *at > first) {
                self.timer = Some((first, self.clock.sleep_until(first)));
            }
            let Some((_, sleep)) = &mut self.timer else {
                return Poll::Pending;
            };
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            if first <= self.clock.now() {
                return Poll::Ready(End::Timeout);
            }
        }
    }
}
