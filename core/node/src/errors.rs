//! From what went wrong below to the protocol's error codes.

use ottla_log::{AppendError as LogError, ProducerError};
use ottla_metadata::controller::ApiError;
use ottla_store::{AppendError, ReadError, StoreError};
use ottla_types::ErrorCode;

use crate::partition::Refused;

/// A refused append, as the producer is told.
pub fn append(error: &AppendError) -> Refused {
    let code = match error {
        AppendError::Refused(error) => log(error),
        AppendError::Invalid(_) => ErrorCode::InvalidRecord,
        AppendError::DiskFull { .. } | AppendError::Storage(_) => ErrorCode::KafkaStorageError,
        AppendError::Violation(_) => ErrorCode::UnknownServerError,
    };
    Refused::because(code, error)
}

fn log(error: &LogError) -> ErrorCode {
    match error {
        LogError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        LogError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
        LogError::Invalid { .. } => ErrorCode::InvalidRecord,
        LogError::Producer(ProducerError::OutOfOrderSequence { .. }) => ErrorCode::OutOfOrderSequenceNumber,
        LogError::Producer(ProducerError::InvalidEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        LogError::Producer(ProducerError::InvalidTxnState { .. }) => ErrorCode::InvalidTxnState,
        LogError::Producer(ProducerError::CoordinatorFenced { .. }) => {
            ErrorCode::TransactionCoordinatorFenced
        }
        LogError::UnexpectedOffset { .. } | LogError::UnexpectedEpoch { .. } => ErrorCode::InvalidRecord,
        LogError::NoOffsetsLeft | LogError::Violation(_) => ErrorCode::UnknownServerError,
    }
}

/// A failed read.
pub fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptMessage,
        ReadError::Storage(_) => ErrorCode::KafkaStorageError,
    }
}

/// A refused operation on a log.
pub fn store(error: &StoreError) -> Refused {
    let code = match error {
        StoreError::Storage(_) | StoreError::DiskFull { .. } => ErrorCode::KafkaStorageError,
        StoreError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StoreError::Violation(_) => ErrorCode::UnknownServerError,
    };
    Refused::because(code, error)
}

/// The words of an answer to an admin request: the controller's own, or the code's.
pub fn message(error: &ApiError) -> String {
    error
        .message
        .clone()
        .unwrap_or_else(|| error.code.message().to_string())
}
