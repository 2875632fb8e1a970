//! The administrator: topics, configurations, offsets, the cluster. Each operation is tried until `default.api.timeout.ms` if
//! its error may pass; results are told for each topic or partition.
//!
//! - `topics`: create, delete, list, describe, add partitions; `configs`; `records`: offsets and deletion;
//! - `groups`: groups and their offsets; `types`: what goes in and comes out.

mod configs;
mod groups;
mod records;
mod topics;
mod types;

use std::collections::BTreeMap;

use ottla_io::{BoxFuture, Env};
use ottla_wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

pub use groups::{GroupDescription, GroupListing, MemberDescription};
pub use types::{
    AlterConfig, ClusterDescription, ConfigEntry, ConfigResource, ConfigSource, CreatedTopic, NewTopic,
    PartitionDescription, TopicDescription, TopicListing,
};

use crate::metadata::Target;
use crate::{BrokerInfo, ClientConfig, Cluster, Error, Result};

/// The result for each of several things.
pub type Each<K, T> = BTreeMap<K, Result<T>>;

/// Administers a cluster. Clones share connections.
#[derive(Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// An administrator. Connects when first used.
    pub fn new(env: &Env, config: ClientConfig) -> Result<Self> {
        Ok(Admin {
            cluster: Cluster::new(env, config)?,
        })
    }

    /// The cluster as this administrator knows it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster's id, controller and brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let mut attempts = self.cluster.attempts(self.cluster.api_deadline());
        loop {
            match self.describe_cluster_once().await {
                Ok(description) => return Ok(description),
                Err(error) => attempts.again("describe the cluster", error).await?,
            }
        }
    }

    async fn describe_cluster_once(&self) -> Result<ClusterDescription> {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            ..Default::default()
        };
        let answer = self.cluster.request(Target::Any, &request).await?;
        let response: DescribeClusterResponse<'_> = answer.decode()?;
        if response.error_code != 0 {
            return Err(Error::broker(
                "describe the cluster",
                response.error_code,
                response.error_message,
            ));
        }
        let brokers = response.brokers.iter().filter_map(|b| {
            let (host, rack) = (b.host.to_owned(), b.rack.map(str::to_owned));
            Some(BrokerInfo {
                id: b.broker_id,
                host,
                port: u16::try_from(b.port).ok()?,
                rack,
            })
        });
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.to_owned(),
            controller: Some(response.controller_id).filter(|id| *id >= 0),
            brokers: brokers.collect(),
        })
    }

    /// Knows of a broker to send to as controller, if that can be found out.
    async fn find_controller(&self) {
        if self.cluster.view().controller.is_none() {
            let _ = self.cluster.refresh_brokers().await;
        }
    }

    /// Tries `once` on what is left until everything has a result that does not pass. `once` gives an error for the whole
    /// request or a result for each key.
    async fn each<'a, K, T, V, F>(&'a self, what: &'static str, wanted: BTreeMap<K, V>, once: F) -> Each<K, T>
    where
        K: Ord + Clone,
        V: Clone,
        F: Fn(BTreeMap<K, V>) -> BoxFuture<'a, Result<Each<K, T>>>,
    {
        let mut left = wanted;
        let mut done = Each::new();
        let mut attempts = self.cluster.attempts(self.cluster.api_deadline());
        while !left.is_empty() {
            self.find_controller().await;
            let mut failed = None;
            match once(left.clone()).await {
                Err(error) => failed = Some(error),
                Ok(results) => {
                    for (key, result) in results {
                        match result {
                            Err(error) if error.passes() && left.contains_key(&key) => failed = Some(error),
                            result => {
                                left.remove(&key);
                                done.insert(key, result);
                            }
                        }
                    }
                    if failed.is_none() {
                        let missing = |_| Err(Error::broker(format!("{what}: no answer"), -1, None));
                        done.extend(
                            std::mem::take(&mut left)
                                .into_keys()
                                .map(|key| (key, missing(()))),
                        );
                    }
                }
            }
            if let Some(error) = failed {
                if let Err(error) = attempts.again(what, error).await {
                    done.extend(
                        std::mem::take(&mut left)
                            .into_keys()
                            .map(|key| (key, Err(error.clone()))),
                    );
                } else {
                    // The controller may be another one by now.
                    let _ = self.cluster.refresh_brokers().await;
                }
            }
        }
        done
    }

    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.cluster.config().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}
