//! What the controller must know of configuration keys, from the one definition table.

use std::sync::Arc;

use ottla_metadata::ConfigResource;
use ottla_metadata::controller::{ApiError, ConfigRules};
use ottla_metadata::image::{Config, ResourceKind};
use ottla_types::ErrorCode;
use ottla_types::config::{BrokerConfig, ConfigKey, ConfigType, TopicConfig, find_broker, find_topic};

/// The rules, over the node's static configuration.
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
        let refuse = |e: &dyn std::fmt::Display| ApiError::new(ErrorCode::InvalidConfig, e.to_string());
        match resource.kind {
            ResourceKind::Topic => TopicConfig::resolve(next, &self.0)
                .map(drop)
                .map_err(|e| refuse(&e)),
            ResourceKind::Broker => next
                .iter()
                .try_for_each(|(key, value)| {
                    BrokerConfig::check_dynamic(key, value, resource.name.is_empty())
                })
                .map_err(|e| refuse(&e)),
            _ => Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "this kind of resource has no configuration here yet",
            )),
        }
    }
}
