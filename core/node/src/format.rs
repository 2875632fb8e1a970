//! Formatting a node's log directories (`kafka-storage format`): who they belong to, and the records that a fresh cluster begins with.

use std::path::PathBuf;

use bytes::Bytes;
use ottla_io::Env;
use ottla_metadata::controller::{DEFAULT_FEATURES, format_records};
use ottla_store::{Format, FormatError, format_dir};
use ottla_types::config::BrokerConfig;
use ottla_types::{NodeId, Time};
use ottla_wire::control_records::{SnapshotFooterRecord, SnapshotHeaderRecord};
use ottla_wire::records::{BatchBuilder, BatchOptions, Compressor, ControlType, control_batch};

use crate::start::{StartError, random_uuid};

/// Formats each directory of `log.dirs` that isn't formatted. Returns those that were.
pub async fn format(env: &Env, config: &BrokerConfig, cluster_id: &str) -> Result<Vec<PathBuf>, StartError> {
    let mut formatted = Vec::new();
    for path in config.log_dirs().into_iter().map(PathBuf::from) {
        let format = Format {
            cluster_id: cluster_id.to_string(),
            node_id: NodeId(config.node_id()),
            directory_id: random_uuid(env, "format"),
            bootstrap: Some(bootstrap(env.clock.wall())?),
        };
        match format_dir(env, &path, format).await {
            Ok(()) => formatted.push(path),
            Err(FormatError::AlreadyFormatted(_)) => {}
            Err(error) => return Err(StartError::Format(error)),
        }
    }
    Ok(formatted)
}

/// `bootstrap.checkpoint`: a snapshot's header and footer around the feature levels (Kafka class `BootstrapDirectory`).
fn bootstrap(now: Time) -> Result<Bytes, StartError> {
    let records = format_records(&DEFAULT_FEATURES).map_err(|e| StartError::MetadataLog(format!("{e:?}")))?;
    let at = now.as_millis();
    let mut value = Vec::new();
    SnapshotHeaderRecord {
        version: 0,
        last_contained_log_timestamp: at,
    }
    .encode(&mut value, 0)?;
    let mut file = control_batch(at, &[(ControlType::SnapshotHeader, &value)], &options(0))?;
    let mut builder = BatchBuilder::new();
    for record in records.iter() {
        builder.append(at, None, Some(record), &[])?;
    }
    file.extend(builder.finish(&options(1), &mut Compressor::new())?);
    value.clear();
    SnapshotFooterRecord { version: 0 }.encode(&mut value, 0)?;
    let end = 1 + records.len() as i64;
    file.extend(control_batch(
        at,
        &[(ControlType::SnapshotFooter, &value)],
        &options(end),
    )?);
    Ok(file.into())
}

fn options(base_offset: i64) -> BatchOptions {
    BatchOptions {
        base_offset,
        leader_epoch: 0,
        ..BatchOptions::default()
    }
}
