//! What a person may have meant by a key that does not exist.

use super::table::{broker_keys, topic_keys};

/// Keys that older Kafkas knew, and what to do about them.
const GONE: &[(&str, &str)] = &[
    (
        "zookeeper.",
        "ZooKeeper is gone since Kafka 4.0; the quorum is set with controller.quorum.voters",
    ),
    (
        "control.plane.listener.name",
        "it is gone since Kafka 4.0; see controller.listener.names",
    ),
    (
        "inter.broker.protocol.version",
        "it is gone since Kafka 4.0; the cluster's metadata.version takes its place",
    ),
    (
        "log.message.format.version",
        "it is gone since Kafka 4.0; there is only one message format",
    ),
    (
        "log.message.timestamp.difference.max.ms",
        "see log.message.timestamp.before.max.ms and .after.max.ms",
    ),
    (
        "message.timestamp.difference.max.ms",
        "see message.timestamp.before.max.ms and .after.max.ms",
    ),
    (
        "message.format.version",
        "it is gone since Kafka 4.0; there is only one message format",
    ),
];

/// Names longer than this are not compared.
const LONGEST: usize = 120;

/// A hint for the unknown broker key `name`.
pub(super) fn for_broker_key(name: &str) -> Option<String> {
    hint(name, broker_keys().iter().map(|key| key.name))
}

/// A hint for the unknown topic key `name`.
pub(super) fn for_topic_key(name: &str) -> Option<String> {
    hint(name, topic_keys().iter().map(|key| key.name))
}

fn hint(name: &str, keys: impl Iterator<Item = &'static str>) -> Option<String> {
    let gone = |(key, _): &&(&str, &str)| name == *key || key.ends_with('.') && name.starts_with(key);
    if let Some((_, what)) = GONE.iter().find(gone) {
        return Some((*what).to_string());
    }
    nearest(name, keys).map(|key| format!("did you mean {key}?"))
}

/// The key nearest to `name`, if it is near enough to be meant: at most one edit in five characters, and two at least.
fn nearest(name: &str, keys: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > LONGEST {
        return None;
    }
    let near = (name.chars().count() / 5).max(2);
    keys.map(|key| (distance(name, key), key))
        .min()
        .filter(|(edits, _)| *edits <= near)
        .map(|(_, key)| key)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let fold = |text: &str| -> Vec<char> {
        let unify = |c: char| {
            if matches!(c, '_' | '-') {
                '.'
            } else {
                c.to_ascii_lowercase()
            }
        };
        text.chars().map(unify).collect()
    };
    let (a, b) = (fold(a), fold(b));
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_keyboard_are_recognised() {
        for (typed, meant) in [
            ("log.retension.ms", "log.retention.ms"),
            ("num.partition", "num.partitions"),
            ("LOG_DIRS", "log.dirs"),
            ("lgo.dirs", "log.dirs"),
            ("advertised.listener", "advertised.listeners"),
            ("auto.create.topic.enable", "auto.create.topics.enable"),
        ] {
            assert_eq!(
                for_broker_key(typed),
                Some(format!("did you mean {meant}?")),
                "{typed}"
            );
        }
        assert_eq!(
            for_topic_key("retention.byte").as_deref(),
            Some("did you mean retention.bytes?")
        );
    }

    #[test]
    fn nothing_is_suggested_for_what_is_far_from_everything() {
        assert_eq!(for_broker_key("my.plugin.endpoint"), None);
        assert_eq!(for_broker_key(&"x".repeat(100_000)), None);
        assert_eq!(for_broker_key(""), None);
    }

    #[test]
    fn what_older_kafkas_had_is_explained() {
        assert!(
            for_broker_key("zookeeper.connect")
                .unwrap()
                .contains("ZooKeeper is gone")
        );
    }

    #[test]
    fn distances() {
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
