//! A Fetch answer as parts: the bytes around the records are written here, the records themselves stay file ranges, which the
//! stream sends without a copy. `ottla_wire::framing::put_response_around` does the same from the generated encoder; this writer is to
//! move onto it.

use bytes::Bytes;
use ottla_rpc::{Part, Reply};
use ottla_types::Uuid;
use ottla_wire::codec::{
    begin_tag, end_tag, put_count, put_i16, put_i32, put_i64, put_string, put_uuid, put_uvarint,
};

use crate::dispatch::{Reject, Request};

/// One partition's part of the answer.
pub struct FetchedPartition {
    /// Its index.
    pub index: i32,
    /// The error code.
    pub error: i16,
    /// High watermark, or −1.
    pub high_watermark: i64,
    /// Last stable offset, or −1.
    pub last_stable: i64,
    /// Log start, or −1.
    pub log_start: i64,
    /// Epoch and end offset where the client's log parts from ours (KIP-595), if it does.
    pub diverging: Option<(i32, i64)>,
    /// Leader and epoch, when the client knows a wrong one.
    pub current_leader: Option<(i32, i32)>,
    /// Producer id and first offset of aborted transactions; `None` unless committed records were asked for.
    pub aborted: Option<Vec<(i64, i64)>>,
    /// The records.
    pub records: Option<Part>,
}

/// One topic's part.
pub struct FetchedTopic<'a> {
    /// Its name; only up to version 12.
    pub name: &'a str,
    /// Its id; only from version 13.
    pub id: Uuid,
    /// Its partitions.
    pub partitions: Vec<FetchedPartition>,
}

/// The whole answer.
pub fn answer(
    request: &Request<'_>,
    error: i16,
    session: i32,
    topics: Vec<FetchedTopic<'_>>,
) -> Result<Reply, Reject> {
    let version = request.version;
    let mut writer = Writer {
        bytes: request.begin()?,
        parts: Vec::new(),
        more: 0,
        flexible: version >= 12,
        version,
    };
    writer.body(error, session, topics)?;
    Ok(writer.finish())
}

struct Writer {
    /// What comes before the next file range.
    bytes: Vec<u8>,
    parts: Vec<Part>,
    /// Bytes in `parts`.
    more: usize,
    flexible: bool,
    version: i16,
}

impl Writer {
    fn body(&mut self, error: i16, session: i32, topics: Vec<FetchedTopic<'_>>) -> Result<(), Reject> {
        put_i32(&mut self.bytes, 0);
        if self.version >= 7 {
            put_i16(&mut self.bytes, error);
            put_i32(&mut self.bytes, session);
        }
        put_count(&mut self.bytes, topics.len(), self.flexible, "Responses")?;
        for topic in topics {
            if self.version >= 13 {
                put_uuid(&mut self.bytes, topic.id);
            } else {
                put_string(&mut self.bytes, topic.name, self.flexible, "Topic")?;
            }
            put_count(
                &mut self.bytes,
                topic.partitions.len(),
                self.flexible,
                "Partitions",
            )?;
            for partition in topic.partitions {
                self.partition(partition)?;
            }
            self.no_tags();
        }
        self.no_tags();
        Ok(())
    }

    fn partition(&mut self, partition: FetchedPartition) -> Result<(), Reject> {
        let out = &mut self.bytes;
        put_i32(out, partition.index);
        put_i16(out, partition.error);
        put_i64(out, partition.high_watermark);
        put_i64(out, partition.last_stable);
        if self.version >= 5 {
            put_i64(out, partition.log_start);
        }
        match &partition.aborted {
            None if self.flexible => put_uvarint(out, 0),
            None => put_i32(out, -1),
            Some(aborted) => {
                put_count(out, aborted.len(), self.flexible, "AbortedTransactions")?;
                for (producer, first) in aborted {
                    put_i64(out, *producer);
                    put_i64(out, *first);
                    if self.flexible {
                        put_uvarint(out, 0);
                    }
                }
            }
        }
        if self.version >= 11 {
            put_i32(out, -1);
        }
        put_count(
            out,
            partition.records.as_ref().map_or(0, Part::len),
            self.flexible,
            "Records",
        )?;
        if let Some(records) = partition.records.filter(|records| !records.is_empty()) {
            self.cut(records);
        }
        self.partition_tags(partition.diverging, partition.current_leader);
        Ok(())
    }

    fn partition_tags(&mut self, diverging: Option<(i32, i64)>, leader: Option<(i32, i32)>) {
        if !self.flexible {
            return;
        }
        let out = &mut self.bytes;
        put_uvarint(out, u32::from(diverging.is_some()) + u32::from(leader.is_some()));
        if let Some((epoch, end)) = diverging {
            let start = begin_tag(out, 0);
            put_i32(out, epoch);
            put_i64(out, end);
            put_uvarint(out, 0);
            end_tag(out, start);
        }
        if let Some((id, epoch)) = leader {
            let start = begin_tag(out, 1);
            put_i32(out, id);
            put_i32(out, epoch);
            put_uvarint(out, 0);
            end_tag(out, start);
        }
    }

    fn no_tags(&mut self) {
        if self.flexible {
            put_uvarint(&mut self.bytes, 0);
        }
    }

    /// Puts a part behind what was written so far.
    fn cut(&mut self, part: Part) {
        let before = Bytes::from(std::mem::take(&mut self.bytes));
        self.more += before.len() + part.len();
        self.parts.push(Part::Bytes(before));
        self.parts.push(part);
    }

    fn finish(mut self) -> Reply {
        if self.parts.is_empty() {
            return Reply::Bytes(crate::dispatch::finish(self.bytes, 0));
        }
        // The length prefix lies in the first part, which nobody else holds.
        let length = ((self.more - 4 + self.bytes.len()) as i32).to_be_bytes();
        if let Some(Part::Bytes(first)) = self.parts.first_mut() {
            let mut head = std::mem::take(first)
                .try_into_mut()
                .unwrap_or_else(|shared| shared[..].into());
            if let Some(prefix) = head.first_chunk_mut::<4>() {
                *prefix = length;
            }
            *first = head.freeze();
        }
        if !self.bytes.is_empty() {
            self.parts.push(Part::Bytes(Bytes::from(self.bytes)));
        }
        Reply::Parts(self.parts)
    }
}
