//! Offsets of partitions, and deleting records below an offset. Both go to each partition's leader.

use std::collections::BTreeMap;

use ottla_io::BoxFuture;
use ottla_types::TopicPartition;
use ottla_wire::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use ottla_wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

use super::topics::check;
use super::{Admin, Each};
use crate::metadata::Target;
use crate::offsets::list_offsets;
use crate::{Error, IsolationLevel, OffsetAndTimestamp, OffsetSpec, Result};

impl Admin {
    /// Offsets of partitions; `None` where no record is that late.
    pub async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        isolation: IsolationLevel,
    ) -> Each<TopicPartition, Option<OffsetAndTimestamp>> {
        list_offsets(&self.cluster, wanted, isolation, self.cluster.api_deadline()).await
    }

    /// Deletes the records below an offset in each partition; -1 stands for the high watermark. Gives the new log starts.
    pub async fn delete_records(&self, before: &BTreeMap<TopicPartition, i64>) -> Each<TopicPartition, i64> {
        let once =
            |left| -> BoxFuture<'_, _> { Box::pin(async move { self.delete_records_once(&left).await }) };
        self.each("delete records", before.clone(), once).await
    }

    async fn delete_records_once(
        &self,
        left: &BTreeMap<TopicPartition, i64>,
    ) -> Result<Each<TopicPartition, i64>> {
        let mut results = Each::new();
        let mut by_leader: BTreeMap<i32, Vec<(&TopicPartition, i64)>> = BTreeMap::new();
        for (partition, offset) in left {
            match self.cluster.leader(partition, self.cluster.api_deadline()).await {
                Ok((leader, _)) => by_leader.entry(leader).or_default().push((partition, *offset)),
                Err(error) => drop(results.insert(partition.clone(), Err(error))),
            }
        }
        for (leader, asked) in by_leader {
            match self.delete_records_at(leader, &asked).await {
                Ok(answered) => results.extend(answered),
                Err(error) => results.extend(asked.iter().map(|(p, _)| ((*p).clone(), Err(error.clone())))),
            }
        }
        if results
            .values()
            .any(|r| r.as_ref().is_err_and(Error::is_retriable))
        {
            let topics: Vec<&str> = left.keys().map(|p| p.topic.as_str()).collect();
            let _ = self
                .cluster
                .refresh(self.cluster.view().generation, &topics, false)
                .await;
        }
        Ok(results)
    }

    async fn delete_records_at(
        &self,
        leader: i32,
        asked: &[(&TopicPartition, i64)],
    ) -> Result<Each<TopicPartition, i64>> {
        let mut topics: Vec<DeleteRecordsTopic<'_>> = Vec::new();
        for (partition, offset) in asked {
            if topics.last().is_none_or(|t| t.name != partition.topic) {
                topics.push(DeleteRecordsTopic {
                    name: &partition.topic,
                    ..Default::default()
                });
            }
            if let Some(topic) = topics.last_mut() {
                topic.partitions.push(DeleteRecordsPartition {
                    partition_index: partition.partition,
                    offset: *offset,
                });
            }
        }
        let request = DeleteRecordsRequest {
            topics,
            timeout_ms: self.timeout_ms(),
        };
        let answer = self.cluster.request(Target::Node(leader), &request).await?;
        let response: DeleteRecordsResponse<'_> = answer.decode()?;
        let mut results = Each::new();
        for topic in &response.topics {
            for p in &topic.partitions {
                let partition = TopicPartition::new(topic.name, p.partition_index);
                let checked = check(|| format!("delete records of {partition}"), p.error_code, None);
                results.insert(partition, checked.map(|()| p.low_watermark));
            }
        }
        Ok(results)
    }
}
