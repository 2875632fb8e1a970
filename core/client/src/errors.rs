//! What can go wrong, for all clients: each error names what was tried and says what to do next.

use std::fmt;
use std::time::Duration;

use ottla_rpc::CallError;
use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::DecodeError;

/// The result of a client's operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A setting is not usable.
    Config {
        /// Kafka's name of it.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// No broker could be reached.
    NoBroker {
        /// The addresses that were tried.
        tried: String,
        /// Why the last one failed.
        last: CallError,
    },
    /// A call to one broker failed.
    Call {
        /// The broker's address.
        broker: String,
        /// Why.
        error: CallError,
    },
    /// A broker's answer is an error.
    Broker {
        /// What was asked, and about what.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's own words, if it sent any.
        message: Option<String>,
    },
    /// The time ran out, with what failed last.
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
        /// Why the last attempt failed, if one did.
        last: Option<Box<Error>>,
        /// What to do.
        advice: &'static str,
    },
    /// The topic has no such partition.
    NoPartition {
        /// The partition that was asked for.
        partition: TopicPartition,
        /// How many there are.
        count: usize,
    },
    /// The partition has no leader at the moment.
    NoLeader {
        /// The partition.
        partition: TopicPartition,
    },
    /// A record is larger than the client may send.
    RecordTooLarge {
        /// Its size in a batch of its own.
        size: usize,
        /// The setting that it exceeds.
        key: &'static str,
        /// That setting's value.
        limit: usize,
    },
    /// The buffer has no room and the caller did not want to wait.
    BufferFull,
    /// The offset asked for is not kept, and `auto.offset.reset` is `none`.
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: i64,
    },
    /// Bytes that are no valid record batch.
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that can't be read.
        offset: i64,
        /// The last offset of the damaged batch, if its header could be read: seek behind it to go on.
        last_offset: Option<i64>,
        /// What is wrong.
        problem: String,
    },
    /// The partition is not assigned to this consumer.
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// Nothing is committed for the partition, and `auto.offset.reset` is `none`.
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// The client was used in a way that can't work.
    Misuse {
        /// What is wrong.
        problem: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// The client was closed.
    Closed,
}

impl Error {
    pub(crate) fn config(key: &'static str, problem: impl Into<String>, advice: &'static str) -> Self {
        Error::Config {
            key,
            problem: problem.into(),
            advice,
        }
    }

    pub(crate) fn broker(what: impl Into<String>, code: i16, message: Option<&str>) -> Self {
        let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        Error::Broker {
            what: what.into(),
            code,
            message: message.map(str::to_owned),
        }
    }

    pub(crate) fn decode(broker: &str, error: DecodeError) -> Self {
        Error::Call {
            broker: broker.to_owned(),
            error: CallError::Decode(error),
        }
    }

    /// The broker's error code, if a broker answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Broker { code, .. } => Some(*code),
            Error::Timeout { last: Some(last), .. } => last.code(),
            _ => None,
        }
    }

    /// Whether the same operation may succeed if it is simply tried again.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Broker { code, .. } => code.is_retriable(),
            Error::Call { error, .. } => !matches!(
                error,
                CallError::Unsupported { .. } | CallError::Encode(_) | CallError::Decode(_)
            ),
            Error::NoBroker { .. } | Error::NoLeader { .. } | Error::BufferFull | Error::Timeout { .. } => {
                true
            }
            _ => false,
        }
    }

    /// What to do next.
    pub fn advice(&self) -> &'static str {
        match self {
            Error::Config { advice, .. } | Error::Timeout { advice, .. } | Error::Misuse { advice, .. } => {
                advice
            }
            Error::NoBroker { .. } => {
                "check that a broker runs there and that bootstrap.servers names its listener"
            }
            Error::Call { error, .. } => call_advice(error),
            Error::Broker { code, .. } => code_advice(*code),
            Error::NoPartition { .. } => "use a partition that exists, or add partitions to the topic",
            Error::NoLeader { .. } => "start the brokers that hold its replicas",
            Error::RecordTooLarge { .. } => {
                "raise the setting (and the topic's max.message.bytes), or send less in one record"
            }
            Error::BufferFull => "wait for deliveries, or raise buffer.memory",
            Error::OffsetOutOfRange { .. } => "seek to an offset that is kept, or set auto.offset.reset",
            Error::Corrupt { .. } => {
                "check the broker's disk and log; to go on without these records seek behind the damaged batch"
            }
            Error::NotAssigned { .. } => "assign the partition first",
            Error::NoOffset { .. } => "seek to an offset, or set auto.offset.reset",
            Error::Closed => "make a new client",
        }
    }
}

fn call_advice(error: &CallError) -> &'static str {
    match error {
        CallError::Connect { .. } => {
            "check that the broker runs and that its advertised.listeners can be reached from here"
        }
        CallError::Timeout { .. } => "check the broker's load and log, or raise request.timeout.ms",
        CallError::Closed(_) => "try again; if it happens each time, the broker's log says why it closes",
        CallError::Unsupported { .. } => "use a broker that serves this request, or do without the feature",
        CallError::Encode(_) => "do without the feature that this broker's version can't express",
        CallError::Decode(_) => "report this as a bug, with the versions of client and broker",
        CallError::Refused(_) => "check that the address is a Kafka broker's listener and not a controller's",
    }
}

fn code_advice(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            "create the topic, or check its name"
        }
        ErrorCode::TopicAlreadyExists => "use the existing topic, or another name",
        ErrorCode::InvalidTopicException => "use 1 to 249 of the characters a-z A-Z 0-9 . _ -",
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "lower batch.size, send smaller records, or raise the topic's max.message.bytes"
        }
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "start the missing replicas, or lower min.insync.replicas"
        }
        ErrorCode::InvalidReplicationFactor => "use a replication factor of at most the number of brokers",
        ErrorCode::InvalidConfig => "correct the configuration named above",
        ErrorCode::InvalidTimestamp => {
            "set timestamps near the broker's clock, or change message.timestamp.*.max.ms"
        }
        ErrorCode::KafkaStorageError => "check the broker's disks and its log",
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed => "have an administrator grant this client the permission",
        ErrorCode::OffsetOutOfRange => "use an offset between the log start and the high watermark",
        ErrorCode::UnsupportedVersion => "use a broker that serves this request",
        ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
            "the group went on without this member: poll to join again, and poll more often (max.poll.interval.ms, \
             max.poll.records)"
        }
        ErrorCode::RebalanceInProgress => "poll until the group has rebalanced, then try again",
        ErrorCode::FencedInstanceId => "give each member its own group.instance.id",
        ErrorCode::InconsistentGroupProtocol => {
            "use a partition.assignment.strategy that all members of the group have, or another group.id"
        }
        ErrorCode::InvalidSessionTimeout => {
            "set session.timeout.ms between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"
        }
        ErrorCode::InvalidGroupId => "name the group",
        ErrorCode::GroupMaxSizeReached => "start fewer members, or raise the broker's group.max.size",
        ErrorCode::GroupIdNotFound => "check the group's name",
        ErrorCode::NonEmptyGroup => "stop the members of the group first",
        ErrorCode::GroupSubscribedToTopic => "stop the members that subscribe to the topic first",
        ErrorCode::OffsetMetadataTooLarge => {
            "commit less metadata, or raise the broker's offset.metadata.max.bytes"
        }
        code if code.is_retriable() => "try again later; if it lasts, look at the state of the cluster",
        _ => "correct the request; the broker's log may say more",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Config { key, problem, .. } => write!(f, "{key}: {problem}")?,
            Error::NoBroker { tried, last } => {
                write!(f, "no broker could be reached ({tried}); the last one: {last}")?
            }
            Error::Call { broker, error } => write!(f, "broker {broker}: {error}")?,
            Error::Broker { what, code, message } => {
                write!(f, "{what}: {code}")?;
                if let Some(message) = message.as_deref().filter(|m| !m.is_empty()) {
                    write!(f, " (the broker says: {message})")?;
                }
            }
            Error::Timeout {
                what, after, last, ..
            } => {
                write!(f, "{what}: not done within {} ms", after.as_millis())?;
                if let Some(last) = last {
                    write!(f, "; the last attempt: {last}")?;
                    return Ok(());
                }
            }
            Error::NoPartition { partition, count } => {
                write!(
                    f,
                    "there is no partition {partition}: the topic has {count}, numbered from 0"
                )?;
            }
            Error::NoLeader { partition } => write!(f, "partition {partition} has no leader")?,
            Error::RecordTooLarge { size, key, limit } => {
                write!(f, "the record takes {size} bytes, more than {key} ({limit})")?;
            }
            Error::BufferFull => f.write_str("the producer's buffer is full")?,
            Error::OffsetOutOfRange { partition, offset } => {
                write!(f, "offset {offset} of {partition} is not kept")?;
            }
            Error::Corrupt {
                partition,
                offset,
                last_offset,
                problem,
            } => {
                write!(
                    f,
                    "partition {partition} can't be read from offset {offset}: {problem}"
                )?;
                if let Some(last) = last_offset {
                    write!(f, " (the damaged batch ends at offset {last})")?;
                }
            }
            Error::NotAssigned { partition } => write!(f, "partition {partition} is not assigned")?,
            Error::NoOffset { partition } => write!(f, "nothing is committed for {partition}")?,
            Error::Misuse { problem, .. } => f.write_str(problem)?,
            Error::Closed => f.write_str("the client is closed")?,
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let error = Error::broker("create topic `x`", 36, Some("Topic 'x' already exists."));
        assert_eq!(
            error.to_string(),
            "create topic `x`: TOPIC_ALREADY_EXISTS: a topic of this name already exists (the broker says: Topic 'x' \
             already exists.); use the existing topic, or another name"
        );
        assert_eq!(error.code(), Some(ErrorCode::TopicAlreadyExists));
        assert!(!error.is_retriable());
        let late = Error::Timeout {
            what: "deliver".into(),
            after: Duration::from_millis(5),
            last: Some(Box::new(Error::broker("produce", 19, None))),
            advice: "",
        };
        assert_eq!(late.code(), Some(ErrorCode::NotEnoughReplicas));
        assert!(late.to_string().contains("min.insync.replicas"), "{late}");
    }

    #[test]
    fn unknown_codes_are_kept_as_server_errors() {
        assert_eq!(
            Error::broker("x", 9999, None).code(),
            Some(ErrorCode::UnknownServerError)
        );
    }
}
