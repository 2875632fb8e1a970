//! Asking for metadata: one question at a time, and what becomes of the answers.

use std::sync::{Arc, PoisonError};

use ottla_types::{ErrorCode, TopicPartition};
use ottla_wire::messages::metadata_request::MetadataRequestTopic;
use ottla_wire::messages::{MetadataRequest, MetadataResponse};

use super::view::{broker_info, topic_info};
use super::{BrokerInfo, Cluster, Target, TopicInfo, View};
use crate::{Error, Result};

impl Cluster {
    /// Asks for some topics anew, unless somebody has since `seen` was the generation and they are known. One request at a
    /// time; the first topic that is in error decides the result.
    pub async fn refresh(&self, seen: u64, topics: &[&str], create: bool) -> Result<()> {
        // A task of its own: a future that nobody polls for a while must not keep the others from asking.
        let cluster = self.clone();
        let topics: Vec<String> = topics.iter().map(|t| (*t).to_owned()).collect();
        let (reply, result) = tokio::sync::oneshot::channel();
        let task = async move {
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            let _ = reply.send(cluster.refresh_in_turn(seen, &topics, create).await);
        };
        drop(self.0.env.tasks.spawn("client metadata", Box::pin(task)));
        result.await.unwrap_or(Err(Error::Closed))
    }

    async fn refresh_in_turn(&self, seen: u64, topics: &[&str], create: bool) -> Result<()> {
        let mut gate = self.0.refreshing.lock().await;
        let view = self.view();
        if view.generation != seen && topics.iter().all(|t| view.topics.contains_key(*t)) {
            return Ok(());
        }
        // Only questions that are asked again are slowed down; a topic nobody asked for before can't make a storm.
        if gate.failures > 0 || topics.iter().any(|t| view.topics.contains_key(*t)) {
            self.0.env.clock.sleep_until(gate.not_before).await;
        }
        let request = MetadataRequest {
            topics: Some(
                topics
                    .iter()
                    .map(|t| MetadataRequestTopic {
                        name: Some(t),
                        ..Default::default()
                    })
                    .collect(),
            ),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let result = self.ask(&request).await;
        gate.failures = if result.is_ok() {
            0
        } else {
            gate.failures.saturating_add(1)
        };
        gate.not_before = self.now().after(self.0.backoff.pause(gate.failures.max(1)));
        result
    }

    /// Asks for every topic.
    pub async fn refresh_all(&self) -> Result<()> {
        self.ask(&MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..Default::default()
        })
        .await
    }

    /// Asks for brokers and controller alone.
    pub(crate) async fn refresh_brokers(&self) -> Result<()> {
        self.ask(&MetadataRequest {
            topics: Some(Vec::new()),
            allow_auto_topic_creation: false,
            ..Default::default()
        })
        .await
    }

    async fn ask(&self, request: &MetadataRequest<'_>) -> Result<()> {
        let answer = self.request(Target::Any, request).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        if response.error_code != 0 {
            return Err(Error::broker("ask for metadata", response.error_code, None));
        }
        self.take_in(&response, request.topics.is_none())
    }

    fn take_in(&self, response: &MetadataResponse<'_>, whole: bool) -> Result<()> {
        let now = self.now();
        let mut current = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut view = View::clone(&current);
        let mut result = Ok(());
        view.generation += 1;
        view.cluster_id = response.cluster_id.map(str::to_owned);
        view.controller = Some(response.controller_id).filter(|id| *id >= 0);
        view.brokers = response.brokers.iter().filter_map(broker_info).collect();
        let known = if whole {
            std::mem::take(&mut view.topics)
        } else {
            view.topics.clone()
        };
        for topic in &response.topics {
            let Some(name) = topic.name else { continue };
            match topic_info(topic, known.get(name), now) {
                Ok(info) => {
                    view.topics.insert(info.name.clone(), Arc::new(info));
                }
                Err(error) => {
                    if error.code() != Some(ErrorCode::LeaderNotAvailable) {
                        view.topics.remove(name);
                    }
                    result = result.and(Err(error));
                }
            }
        }
        view.ids = view
            .topics
            .values()
            .filter(|t| !t.id.is_zero())
            .map(|t| (t.id, t.name.clone()))
            .collect();
        *current = Arc::new(view);
        result
    }

    /// Takes over what a broker said about a new leader along with an error (KIP-951). Returns whether it was news.
    pub(crate) fn leader_hint(
        &self,
        partition: &TopicPartition,
        leader: i32,
        epoch: i32,
        brokers: &[BrokerInfo],
    ) -> bool {
        let mut current = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(topic) = current.topics.get(partition.topic.as_str()) else {
            return false;
        };
        let Some(known) = topic.partition(partition.partition) else {
            return false;
        };
        if leader < 0 || epoch <= known.leader_epoch {
            return false;
        }
        let mut topic = TopicInfo::clone(topic);
        let Ok(index) = topic
            .partitions
            .binary_search_by_key(&partition.partition, |p| p.partition)
        else {
            return false;
        };
        if let Some(info) = topic.partitions.get_mut(index) {
            (info.leader, info.leader_epoch) = (Some(leader), epoch);
        }
        let mut view = View::clone(&current);
        brokers
            .iter()
            .for_each(|b| drop(view.brokers.insert(b.id, b.clone())));
        let usable = view.brokers.contains_key(&leader);
        view.topics.insert(topic.name.clone(), Arc::new(topic));
        *current = Arc::new(view);
        usable
    }
}
