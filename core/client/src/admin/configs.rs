//! Configurations of topics and brokers.

use std::collections::BTreeMap;

use ottla_io::BoxFuture;
use ottla_wire::messages::describe_configs_request::DescribeConfigsResource;
use ottla_wire::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use ottla_wire::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::topics::check;
use super::{Admin, AlterConfig, ConfigEntry, ConfigResource, ConfigSource, Each};
use crate::Result;
use crate::metadata::Target;

impl Admin {
    /// All configurations of each resource. A broker answers for itself.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Each<ConfigResource, Vec<ConfigEntry>> {
        let wanted: BTreeMap<ConfigResource, ()> = resources.iter().map(|r| (r.clone(), ())).collect();
        let once =
            |left| -> BoxFuture<'_, _> { Box::pin(async move { self.describe_configs_once(&left).await }) };
        self.each("describe configurations", wanted, once).await
    }

    async fn describe_configs_once(
        &self,
        left: &BTreeMap<ConfigResource, ()>,
    ) -> Result<Each<ConfigResource, Vec<ConfigEntry>>> {
        let mut by_target: Vec<(Target, Vec<ConfigResource>)> = Vec::new();
        for resource in left.keys() {
            let target = target(resource);
            match by_target.iter_mut().find(|(t, _)| *t == target) {
                Some((_, list)) => list.push(resource.clone()),
                None => by_target.push((target, vec![resource.clone()])),
            }
        }
        let mut found = Each::new();
        for (target, resources) in by_target {
            found.extend(self.describe_configs_at(target, &resources).await?);
        }
        Ok(found)
    }

    async fn describe_configs_at(
        &self,
        target: Target,
        resources: &[ConfigResource],
    ) -> Result<Each<ConfigResource, Vec<ConfigEntry>>> {
        let names: Vec<String> = resources.iter().map(ConfigResource::name).collect();
        let request = DescribeConfigsRequest {
            resources: resources
                .iter()
                .zip(&names)
                .map(|(r, name)| DescribeConfigsResource {
                    resource_type: r.kind(),
                    resource_name: name,
                    configuration_keys: None,
                })
                .collect(),
            ..Default::default()
        };
        let answer = self.cluster.request(target, &request).await?;
        let response: DescribeConfigsResponse<'_> = answer.decode()?;
        let results = response.results.iter().filter_map(|r| {
            let same = |wanted: &&ConfigResource| {
                wanted.kind() == r.resource_type && wanted.name() == r.resource_name
            };
            let resource = resources.iter().find(same)?.clone();
            let what = || format!("describe the configuration of `{}`", r.resource_name);
            let entries = check(what, r.error_code, r.error_message).map(|()| {
                let entries = r.configs.iter().map(|c| ConfigEntry {
                    name: c.name.to_owned(),
                    value: c.value.map(str::to_owned),
                    read_only: c.read_only,
                    sensitive: c.is_sensitive,
                    source: ConfigSource::from_id(c.config_source),
                });
                entries.collect()
            });
            Some((resource, entries))
        });
        Ok(results.collect())
    }

    /// Changes configurations, those named and no others (KIP-339).
    pub async fn alter_configs(
        &self,
        changes: &BTreeMap<ConfigResource, BTreeMap<String, AlterConfig>>,
        validate_only: bool,
    ) -> Each<ConfigResource, ()> {
        let once = |left| -> BoxFuture<'_, _> {
            Box::pin(async move { self.alter_configs_once(&left, validate_only).await })
        };
        self.each("change configurations", changes.clone(), once).await
    }

    async fn alter_configs_once(
        &self,
        left: &Changes,
        validate_only: bool,
    ) -> Result<Each<ConfigResource, ()>> {
        let names: Vec<String> = left.keys().map(ConfigResource::name).collect();
        let resources = left
            .iter()
            .zip(&names)
            .map(|((resource, changes), name)| AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: name,
                configs: changes
                    .iter()
                    .map(|(name, change)| alterable(name, change))
                    .collect(),
            });
        let request = IncrementalAlterConfigsRequest {
            resources: resources.collect(),
            validate_only,
        };
        let answer = self.cluster.request(Target::Controller, &request).await?;
        let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
        let results = response.responses.iter().filter_map(|r| {
            let same = |wanted: &&ConfigResource| {
                wanted.kind() == r.resource_type && wanted.name() == r.resource_name
            };
            let resource = left.keys().find(same)?.clone();
            let what = || format!("change the configuration of `{}`", r.resource_name);
            Some((resource, check(what, r.error_code, r.error_message)))
        });
        Ok(results.collect())
    }
}

type Changes = BTreeMap<ConfigResource, BTreeMap<String, AlterConfig>>;

fn target(resource: &ConfigResource) -> Target {
    match resource {
        ConfigResource::Broker(id) => Target::Node(*id),
        _ => Target::Any,
    }
}

fn alterable<'a>(name: &'a str, change: &'a AlterConfig) -> AlterableConfig<'a> {
    let (config_operation, value) = match change {
        AlterConfig::Set(value) => (0, Some(value.as_str())),
        AlterConfig::Delete => (1, None),
        AlterConfig::Append(value) => (2, Some(value.as_str())),
        AlterConfig::Subtract(value) => (3, Some(value.as_str())),
    };
    AlterableConfig {
        name,
        config_operation,
        value,
    }
}
