//! Listening and connecting. Every socket sends at once (TCP_NODELAY): the layers above write whole answers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use ottla_io::{Listener, Net, Op, Stream};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::error;
use crate::stream::OsStream;

/// What every socket gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketOptions {
    /// SO_SNDBUF; `None` leaves it to the system, which adapts it.
    pub send_buffer: Option<u32>,
    /// SO_RCVBUF; `None` leaves it to the system, which adapts it.
    pub receive_buffer: Option<u32>,
    /// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`).
    pub backlog: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            send_buffer: None,
            receive_buffer: None,
            backlog: 1024,
        }
    }
}

/// The machine's network. Its operations must be awaited inside the runtime.
pub(crate) struct OsNet {
    options: SocketOptions,
}

impl OsNet {
    pub(crate) fn new(options: SocketOptions) -> Self {
        OsNet { options }
    }
}

impl Net for OsNet {
    fn listen(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Listener>>> {
        let (host, options) = (host.to_owned(), self.options);
        Op::pending(async move {
            match listen(&host, port, options).await {
                Ok(listener) => Ok(Box::new(listener) as Box<dyn Listener>),
                Err(e) => Err(error::peer(&host, port, "listen on", e)),
            }
        })
    }

    fn connect(&self, host: &str, port: u16) -> Op<io::Result<Box<dyn Stream>>> {
        let (host, options) = (host.to_owned(), self.options);
        Op::pending(async move {
            match connect(&host, port, options).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn Stream>),
                Err(e) => Err(error::peer(&host, port, "connect to", e)),
            }
        })
    }
}

fn socket(addr: SocketAddr, options: SocketOptions) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Before bind and connect, because the window's scale is settled in the handshake.
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host.is_empty() {
        // As Kafka's `PLAINTEXT://:9092`: every address, of both families where there are both.
        return Ok(vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]);
    }
    Ok(lookup_host((host, port)).await?.collect())
}

fn nothing_found() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the name has no address")
}

async fn listen(host: &str, port: u16, options: SocketOptions) -> io::Result<OsListener> {
    let mut last = nothing_found();
    for addr in addresses(host, port).await? {
        match listen_on(addr, options) {
            Ok(listener) => return Ok(listener),
            Err(e) => last = e,
        }
    }
    Err(last)
}

fn listen_on(addr: SocketAddr, options: SocketOptions) -> io::Result<OsListener> {
    let socket = socket(addr, options)?;
    // A restarted broker gets its port back while old connections are still closing.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let inner = socket.listen(options.backlog)?;
    let addr = inner.local_addr()?;
    Ok(OsListener { inner, addr })
}

async fn connect(host: &str, port: u16, options: SocketOptions) -> io::Result<OsStream> {
    let mut last = nothing_found();
    for addr in addresses(host, port).await? {
        match socket(addr, options)?.connect(addr).await {
            Ok(tcp) => return Ok(OsStream::new(tcp, addr)),
            Err(e) => last = e,
        }
    }
    Err(last)
}

struct OsListener {
    inner: TcpListener,
    addr: SocketAddr,
}

impl Listener for OsListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let (tcp, peer) = ready!(self.inner.poll_accept(cx))?;
        // A listener on `::` sees IPv4 peers as mapped addresses; quotas and logs want the real ones.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        tcp.set_nodelay(true)?;
        Poll::Ready(Ok((Box::new(OsStream::new(tcp, peer)), peer)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}
