//! The three files to begin with: what Kafka ships as `config/connect-*.properties`, in our own words.

use std::path::Path;

use ottla_io::{Env, OpenOptions, write_all_at};

const WORKER: &str = "\
# A worker that runs connectors in one process: ottla connect-standalone connect-standalone.properties CONNECTOR...

# Brokers of the cluster.
bootstrap.servers=localhost:9092

# How keys and values become bytes in topics: JsonConverter, StringConverter, ByteArrayConverter. A connector may have its own.
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
# With schemas each message is {\"schema\":...,\"payload\":...}, without them it is the payload alone.
key.converter.schemas.enable=true
value.converter.schemas.enable=true

# Where sources remember how far they were read, and how often that is written.
offset.storage.file.filename=/tmp/connect.offsets
offset.flush.interval.ms=10000
";

const SOURCE: &str = "\
# Each line of a file becomes a record.
name=local-file-source
connector.class=FileStreamSource
tasks.max=1
file=test.txt
topic=connect-test
";

const SINK: &str = "\
# Each record becomes a line of a file.
name=local-file-sink
connector.class=FileStreamSink
tasks.max=1
file=test.sink.txt
topics=connect-test
";

/// The files by name.
const FILES: [(&str, &str); 3] = [
    ("connect-standalone.properties", WORKER),
    ("connect-file-source.properties", SOURCE),
    ("connect-file-sink.properties", SINK),
];

/// Writes them into a directory, which is made if it is missing. Nothing is overwritten.
pub async fn write(env: &Env, dir: &Path) -> Result<(), String> {
    env.disk.create_dir_all(dir).await.map_err(|e| e.to_string())?;
    for (name, text) in FILES {
        let path = dir.join(name);
        let file = env.disk.open(&path, OpenOptions::CreateNew).await;
        let file = file.map_err(|e| format!("{e}; nothing is overwritten: name another directory"))?;
        let (written, _) = write_all_at(&*file, 0, vec![text.into()]).await;
        written.map_err(|e| e.to_string())?;
        println!("{}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ottla_connect::config::{WorkerConfig, parse_connector, parse_properties};

    use super::*;

    #[test]
    fn the_samples_are_valid() {
        let worker = WorkerConfig::parse(&parse_properties(WORKER.as_bytes()).unwrap()).unwrap();
        assert_eq!(worker.flush_interval.as_secs(), 10);
        for (text, name) in [(SOURCE, "local-file-source"), (SINK, "local-file-sink")] {
            assert_eq!(parse_connector(text.as_bytes()).unwrap().name, name);
        }
    }
}
