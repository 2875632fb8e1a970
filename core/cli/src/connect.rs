//! What the commands that talk to a cluster share: where it is, how long to wait for it, Ctrl-C, and errors that name this
//! program's own options.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ottla_client::{CallError, ClientConfig, Cluster, Error, TopicInfo};
use ottla_io::Env;
use ottla_os::{RuntimeOptions, Signal, Signals, SocketOptions};
use ottla_types::ErrorCode;

use crate::context;
use crate::values::duration;

/// How long a topic that is not known may take to be: brokers learn of it a moment after the controller has made it.
const GRACE: Duration = Duration::from_millis(500);

/// Where the cluster is.
#[derive(Debug, Clone, clap::Args)]
pub struct Connection {
    /// A broker of the cluster, or several separated by commas.
    #[arg(
        short,
        long,
        visible_alias = "bootstrap-server",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092"
    )]
    bootstrap: String,
    /// How long the cluster may take to answer, attempts included.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// The name under which the brokers' logs and quotas know this command.
    #[arg(long, value_name = "NAME", default_value = "ottla")]
    client_id: String,
}

impl Connection {
    /// The settings that all clients share.
    pub fn config(&self) -> ClientConfig {
        let config = ClientConfig::new(&self.bootstrap);
        ClientConfig {
            client_id: self.client_id.clone(),
            api_timeout: self.timeout,
            request_timeout: config.request_timeout.min(self.timeout),
            connection_setup_timeout: config.connection_setup_timeout.min(self.timeout),
            ..config
        }
    }
}

/// Signals, for a command that ends in an orderly way when one comes.
pub struct Interrupt {
    signals: Signals,
    came: Option<Signal>,
}

impl Interrupt {
    /// The result of `future`, or `None` if a signal came before it.
    pub async fn or<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.came.is_none()
                && let Poll::Ready(signal) = Pin::new(&mut self.signals).poll(cx)
            {
                self.came = Some(signal);
            }
            if self.came.is_some() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Success, or the signal's own status, by which shells know to end a loop.
    pub fn exit_code(&self) -> ExitCode {
        match self.came {
            None => ExitCode::SUCCESS,
            Some(signal) => u8::try_from(signal.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
        }
    }
}

/// Runs a command that talks to a cluster. It ends when it returns, even if a read of stdin still waits.
pub fn run<T>(command: impl AsyncFnOnce(&Env, &mut Interrupt) -> Result<T, String>) -> Result<T, String> {
    let runtime = context::runtime(RuntimeOptions::default())?;
    let env = context::env(&runtime, SocketOptions::default());
    let signals = Signals::new(&runtime).map_err(|e| format!("signals can't be taken: {e}"))?;
    let mut interrupt = Interrupt { signals, came: None };
    let result = runtime.block_on(command(&env, &mut interrupt));
    runtime.shutdown(Duration::ZERO);
    result
}

/// A topic that must exist: told at once if it does not.
pub async fn existing_topic(
    env: &Env,
    cluster: &Cluster,
    topic: &str,
    timeout: Duration,
) -> Result<Arc<TopicInfo>, Error> {
    let begun = env.clock.now();
    loop {
        let error = match cluster.refresh(0, &[topic], false).await {
            Err(error) if error.code() == Some(ErrorCode::UnknownTopicOrPartition) => error,
            _ => return cluster.topic(topic, false, begun.after(timeout)).await,
        };
        if env.clock.now().since(begun) >= GRACE {
            return Err(error);
        }
    }
}

/// An error in words, with the option or command of this program that helps.
pub fn explain(error: &Error) -> String {
    match hint(error) {
        Some(hint) => format!("{error}\n{hint}"),
        None => error.to_string(),
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::NoBroker { .. } => Some(
            "start a broker with `ottla server`, or name one with --bootstrap HOST:PORT; --timeout says how long to try",
        ),
        Error::Call {
            error: CallError::Connect { .. },
            ..
        } => Some(
            "the cluster itself gave that address: it must be reachable from here (advertised.listeners of that broker)",
        ),
        Error::Broker {
            code: ErrorCode::UnknownTopicOrPartition,
            ..
        } => Some("`ottla topic list` shows the topics there are, `ottla topic create NAME` makes one"),
        Error::RecordTooLarge {
            key: "max.request.size",
            ..
        } => Some("--max-request-size raises it here"),
        Error::Timeout { last: Some(last), .. } => hint(last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_told_with_our_own_options() {
        let last = Error::NoBroker {
            tried: "h:1".into(),
            last: CallError::Timeout { what: "connect" },
        };
        let late = Error::Timeout {
            what: "list topics".into(),
            after: Duration::from_secs(10),
            last: Some(Box::new(last)),
            advice: "",
        };
        let text = explain(&late);
        assert!(
            text.contains("h:1") && text.contains("--bootstrap") && text.contains("ottla server"),
            "{text}"
        );
        assert_eq!(explain(&Error::Closed), Error::Closed.to_string());
    }
}
