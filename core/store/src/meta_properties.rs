//! `meta.properties`: which cluster, node and directory id a log directory belongs to. Text as `java.util.Properties` writes it;
//! version 1 (KIP-631, KIP-858; Kafka class `MetaProperties`). The ZooKeeper era's version 0 is refused.

use std::collections::BTreeMap;

use ottla_types::{NodeId, Uuid};

/// The content of a `meta.properties`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetaProperties {
    /// The cluster's id, in whatever spelling it was formatted with.
    pub cluster_id: String,
    /// The node.
    pub node_id: NodeId,
    /// The directory's own id. Absent in directories formatted before Kafka 3.7.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = format!("#\ncluster.id={}\n", escape(&self.cluster_id));
        if let Some(id) = self.directory_id {
            text += &format!("directory.id={id}\n");
        }
        text + &format!("node.id={}\nversion=1\n", self.node_id)
    }

    /// Reads the file's text. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let map = properties(text);
        let get = |key: &str| map.get(key).map(String::as_str);
        match get("version") {
            Some("1") => {}
            Some("0") => {
                return Err(
                    "version 0 is of the ZooKeeper era; migrate the cluster to KRaft with Kafka 3.9 first"
                        .into(),
                );
            }
            Some(other) => return Err(format!("version `{other}` is not known, only 1 is")),
            None => return Err("it has no `version`".into()),
        }
        let cluster_id = get("cluster.id")
            .filter(|id| !id.is_empty())
            .ok_or("it has no `cluster.id`")?
            .to_string();
        let node = get("node.id").ok_or("it has no `node.id`")?;
        let node_id = node.parse().ok().filter(|id| *id >= 0).map(NodeId);
        let node_id = node_id.ok_or_else(|| format!("node.id `{node}` is not a number from 0"))?;
        let directory_id = get("directory.id").map(directory_id).transpose()?;
        Ok(MetaProperties {
            cluster_id,
            node_id,
            directory_id,
        })
    }
}

/// The lowest hundred ids stand for "unassigned", "lost" and the like (Kafka class `DirectoryId`).
fn directory_id(text: &str) -> Result<Uuid, String> {
    let id: Uuid = text
        .parse()
        .map_err(|_| format!("directory.id `{text}` is not a UUID"))?;
    if u128::from_be_bytes(*id.as_bytes()) < 100 {
        Err(format!("directory.id `{text}` is reserved"))
    } else {
        Ok(id)
    }
}

/// Java's properties format as far as Kafka's own files use it: comments, `=` or `:` between key and value, backslash escapes.
/// A line continued by a backslash doesn't occur in what `Properties.store` writes, and is read as two lines.
fn properties(text: &str) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = split(line);
        map.insert(key, value);
    }
    map
}

/// Cuts at the first `=`, `:` or blank that no backslash protects.
fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' | ':' | ' ' | '\t' => {
                let (key, rest) = line.split_at(at);
                let rest = rest.trim_start();
                let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
                return (unescape(key), unescape(value));
            }
            _ => {}
        }
    }
    (unescape(line), String::new())
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, false) => out.push(c),
            _ => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            },
        }
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' | ':' | '=' | '#' | '!' | ' ' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KAFKAS: &str = "#\n#Tue Nov 24 08:00:00 UTC 2026\ncluster.id=5L6g3nShT-eMCtK--X86sw\ndirectory.id=i2CsaZ4MSRm1pVRyYBLPxw\nnode.id=1\nversion=1\n";

    #[test]
    fn kafkas_own_file_is_read() {
        let meta = MetaProperties::parse(KAFKAS).unwrap();
        assert_eq!(meta.cluster_id, "5L6g3nShT-eMCtK--X86sw");
        assert_eq!(meta.node_id, NodeId(1));
        assert_eq!(meta.directory_id.unwrap().to_string(), "i2CsaZ4MSRm1pVRyYBLPxw");
        assert_eq!(
            meta.to_text(),
            "#\ncluster.id=5L6g3nShT-eMCtK--X86sw\ndirectory.id=i2CsaZ4MSRm1pVRyYBLPxw\nnode.id=1\nversion=1\n"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, part) in [
            ("", "no `version`"),
            ("version=0\nbroker.id=1\n", "ZooKeeper"),
            ("version=2\n", "`2`"),
            ("version=1\nnode.id=1\n", "cluster.id"),
            ("version=1\ncluster.id=x\n", "node.id"),
            ("version=1\ncluster.id=x\nnode.id=-1\n", "-1"),
            (
                "version=1\ncluster.id=x\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\n",
                "reserved",
            ),
            (
                "version=1\ncluster.id=x\nnode.id=1\ndirectory.id=foo\n",
                "not a UUID",
            ),
        ] {
            let error = MetaProperties::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn java_spellings() {
        let meta = MetaProperties::parse("! old\n version : 1\ncluster.id = a\\:b\\=c\nnode.id 7\n").unwrap();
        assert_eq!((meta.cluster_id.as_str(), meta.node_id), ("a:b=c", NodeId(7)));
    }

    proptest! {
        #[test]
        fn any_cluster_id_comes_back(cluster_id in "[ -~\t\n\r]{1,40}", node in 0..i32::MAX) {
            let meta = MetaProperties { cluster_id, node_id: NodeId(node), directory_id: None };
            prop_assert_eq!(MetaProperties::parse(&meta.to_text()), Ok(meta));
        }
    }
}
