//! Batches that wait together leave in one write.

use bytes::BytesMut;
use ottla_log::{AppendInfo, Appended};
use ottla_types::Offset;

use crate::errors::AppendError;
use crate::writer::{Append, LogWriter};

/// A batch to append.
#[derive(Debug)]
pub struct Batch {
    /// Its bytes, one validated batch.
    pub bytes: BytesMut,
    /// What the log needs to know of it.
    pub info: AppendInfo,
}

impl LogWriter {
    /// Appends batches that wait together, in one write if they go into one segment. Each has its own result; a refused one does not
    /// hold up the others.
    pub async fn append_all(&mut self, batches: Vec<Batch>) -> Vec<Result<Append, AppendError>> {
        let Some(now) = batches.first().map(|b| b.info.now) else {
            return Vec::new();
        };
        if let Err(error) = self.begin(batches.iter().map(|b| b.bytes.len()).sum()).await {
            return batches.iter().map(|_| Err(error.clone())).collect();
        }
        let mut results: Vec<Result<Append, AppendError>> = Vec::with_capacity(batches.len());
        // Which result belongs to which queued batch.
        let mut queued = Vec::with_capacity(batches.len());
        for batch in batches {
            let result = self.step(batch.bytes, &batch.info);
            if let Ok((Appended::Written { .. }, _)) = &result {
                queued.push(results.len());
            }
            if let Err(error @ AppendError::Violation(_)) = result {
                // Nothing of the group is written any more.
                results.iter_mut().for_each(|slot| *slot = Err(error.clone()));
                results.push(Err(error));
                return results;
            }
            results.push(result.map(|(appended, buffer)| Append {
                appended,
                flush_to: None,
                buffer,
            }));
        }
        let (written, result) = self.write_queue(now).await;
        self.bufs.clear();
        if let Err(error) = result {
            // Only a full disk leaves it certain which of them are in the log.
            let full = matches!(error, AppendError::DiskFull { .. });
            let lost = queued
                .get(if full { written } else { 0 })
                .and_then(|n| results.get(*n));
            if let Some(Ok(first)) = lost {
                fail_from(first.appended.base_offset(), &mut results, &error);
            }
        }
        let flush_to = self.flush_wanted.take();
        if let Some(Ok(last)) = results.iter_mut().rev().find(|r| r.is_ok()) {
            last.flush_to = flush_to;
        }
        results
    }
}

/// Fails the batches from `lost` on, which was not written. Not only those that were to be written: a repetition among them names a
/// batch that is as lost as its original.
fn fail_from(lost: Offset, results: &mut [Result<Append, AppendError>], error: &AppendError) {
    for slot in results {
        if slot.as_ref().is_ok_and(|a| a.appended.base_offset() >= lost) {
            *slot = Err(error.clone());
        }
    }
}
