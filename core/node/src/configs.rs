//! Settings that the metadata holds: a broker's take hold here while it runs, and what the controller must know of them to change
//! them. What a key means is the definition table's (`ottla_types::config`).

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_metadata::controller::{ApiError, ConfigRules};
use ottla_metadata::image::{Config, ResourceKind};
use ottla_metadata::{Changes, ConfigResource, MetadataImage};
use ottla_types::ErrorCode;
use ottla_types::config::{
    BrokerConfig, ConfigKey, ConfigType, TopicConfig, check_broker, check_client_metrics, check_group,
    find_broker, find_topic, with_settings,
};

use crate::Node;
use crate::log_config::log_config;

/// The rules of configuration keys, over the node's configuration as it is now.
pub struct Rules(pub Arc<BrokerConfig>);

impl Rules {
    fn key(kind: ResourceKind, key: &str) -> Option<&'static ConfigKey> {
        match kind {
            ResourceKind::Topic => find_topic(key),
            ResourceKind::Broker => find_broker(key),
            _ => None,
        }
    }
}

impl ConfigRules for Rules {
    fn is_list(&self, kind: ResourceKind, key: &str) -> bool {
        Rules::key(kind, key).is_some_and(|key| key.kind == ConfigType::List)
    }

    fn default_value(&self, kind: ResourceKind, key: &str) -> Option<String> {
        Rules::key(kind, key).and_then(|key| key.default_value().to_text())
    }

    fn validate(&self, resource: &ConfigResource, next: &Config, _before: &Config) -> Result<(), ApiError> {
        let invalid = |message: String| ApiError::new(ErrorCode::InvalidConfig, message);
        match resource.kind {
            ResourceKind::Topic => TopicConfig::resolve(next, &self.0)
                .map(drop)
                .map_err(|error| invalid(error.answer())),
            ResourceKind::Broker => check_broker(&self.0, next, resource.name.is_empty())
                .map(drop)
                .map_err(|message| ApiError::new(ErrorCode::InvalidRequest, message)),
            ResourceKind::Group => check_group(next, &self.0).map_err(invalid),
            ResourceKind::ClientMetrics => {
                check_client_metrics(next).map_err(|(code, message)| ApiError::new(code, message))
            }
            ResourceKind::BrokerLogger | ResourceKind::Other(_) => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                format!("Unknown resource type {}", resource.kind.to_wire()),
            )),
        }
    }
}

/// `broker` with the dynamic settings that `image` holds for it; what cannot be used is left out, and said.
pub fn configured(broker: &BrokerConfig, image: &MetadataImage) -> BrokerConfig {
    let default = image.configs().of(&ConfigResource::default_broker());
    let own = image.configs().of(&ConfigResource::broker(broker.node_id()));
    let (config, left_out) = with_settings(broker, default, own);
    for error in left_out {
        tracing::warn!(%error, "a dynamic setting is not usable and does not apply");
    }
    config
}

impl Node {
    /// Takes up what has changed of this broker's own settings. Whether its topics' may be others now.
    pub(crate) fn reconfigure(&self, image: &MetadataImage, changes: &Changes) -> bool {
        let own = [
            ConfigResource::default_broker(),
            ConfigResource::broker(self.node_id().0),
        ];
        let changed = changes.configs.iter().any(|resource| own.contains(resource));
        if changed {
            self.set_broker(configured(&self.broker(), image));
        }
        changed
    }

    /// Hands every topic that `changes` names, or all of them, its configuration.
    pub(crate) fn configure_topics(self: &Arc<Self>, image: &MetadataImage, changes: &Changes, all: bool) {
        let mut configs: BTreeMap<String, Arc<TopicConfig>> = BTreeMap::new();
        let partitions = match all {
            true => self.topics.all(),
            false => {
                let topics = changes.configs.iter().filter(|r| r.kind == ResourceKind::Topic);
                topics.flat_map(|r| self.topics.of(&r.name)).collect()
            }
        };
        let broker = self.broker();
        for partition in partitions {
            let topic = &partition.id.topic;
            let config = configs
                .entry(topic.clone())
                .or_insert_with(|| Arc::new(self.topic_config(image, topic)));
            partition.configure(config.clone(), log_config(config, &broker));
            self.cleaner.need(self, &partition);
        }
    }
}
