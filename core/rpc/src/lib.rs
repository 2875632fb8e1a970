//! Layer 3: one connection of Kafka's protocol, shared by node and client. Framing, pipelining, correlation and back-pressure
//! live here; what the requests mean does not.

mod budget;
mod client;
mod input;
mod output;
mod server;
mod stop;

pub use budget::{Budget, Permit, Ticket};
pub use client::{CallError, ClientConnection, ClientOptions};
pub use input::{FrameError, Input};
pub use output::{Output, OutputError, Part, Rejected, Reply};
pub use server::{Closed, Limits, Peer, Service, serve};
pub use stop::Stop;
