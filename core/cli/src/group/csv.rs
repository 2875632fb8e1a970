//! The files of `reset-offsets --export` and `--from-file`, as Kafka's tool writes and reads them: `topic,partition,offset`, and
//! with several groups `group,topic,partition,offset`. A name with a comma or a quote is quoted.

use std::collections::BTreeMap;

use ottla_types::TopicPartition;

/// Offsets of groups.
pub type Plan = BTreeMap<String, BTreeMap<TopicPartition, i64>>;

/// One line; the group only if it is one of several.
pub fn line(group: Option<&str>, partition: &TopicPartition, offset: i64) -> String {
    let group = group.map(|g| quoted(g) + ",").unwrap_or_default();
    format!(
        "{group}{},{},{offset}",
        quoted(&partition.topic),
        partition.partition
    )
}

fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r', ' ']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// Reads lines of either form for these groups. Errors name the line.
pub fn read(text: &str, groups: &[String]) -> Result<Plan, String> {
    let mut plan = Plan::new();
    for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let bad = |why: &str| {
            format!(
                "line {}: `{line}` {why}: write topic,partition,offset or group,topic,partition,offset",
                number + 1
            )
        };
        let fields = fields(line).ok_or_else(|| bad("has an open quote"))?;
        let (group, rest) = match (fields.as_slice(), groups) {
            ([_, _, _], [only]) => (only, fields.as_slice()),
            ([_, _, _], _) => return Err(bad("names no group, and there are several")),
            ([group, rest @ ..], _) if rest.len() == 3 => (group, rest),
            _ => return Err(bad("has not three or four fields")),
        };
        if !groups.contains(group) {
            return Err(bad("names a group that is not asked for"));
        }
        let [topic, partition, offset] = rest else {
            return Err(bad("has not three or four fields"));
        };
        let partition: i32 = partition
            .parse()
            .ok()
            .filter(|p| *p >= 0)
            .ok_or_else(|| bad("has no partition"))?;
        let offset: i64 = offset.parse().map_err(|_| bad("has no offset"))?;
        if topic.is_empty() {
            return Err(bad("has no topic"));
        }
        let partition = TopicPartition::new(topic.as_str(), partition);
        plan.entry(group.clone()).or_default().insert(partition, offset);
    }
    if plan.is_empty() {
        return Err("it has no lines: write topic,partition,offset".to_owned());
    }
    Ok(plan)
}

fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut chars = line.trim().chars().peekable();
    let mut inside = false;
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => inside = !inside,
            ',' if !inside => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    (!inside).then(|| fields.iter().map(|f| f.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let groups = ["g".to_owned(), "a, \"b\"".to_owned()];
        let t = TopicPartition::new("t", 3);
        let text: Vec<String> = groups.iter().map(|g| line(Some(g), &t, 7)).collect();
        let plan = read(&text.join("\n"), &groups).unwrap();
        assert_eq!(plan.len(), 2);
        assert!(plan.values().all(|p| p.get(&t) == Some(&7)));
        // As kafka-consumer-groups 4.3.1 exports it.
        let one = read("p,1,0\np,0,0\n\n", &groups[..1]).unwrap();
        assert_eq!(one["g"].len(), 2);
        assert_eq!(line(None, &t, 7), "t,3,7");
    }

    #[test]
    fn bad_lines_are_named() {
        let groups = ["g".to_owned()];
        for (text, part) in [
            ("t,0,1\nt,x,1", "line 2"),
            ("t,0", "three or four"),
            ("t,0,x", "offset"),
            ("h,t,0,1", "not asked for"),
            ("\"t,0,1", "quote"),
            ("", "no lines"),
        ] {
            let error = read(text, &groups).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(
            read("t,0,1", &["g".to_owned(), "h".to_owned()])
                .unwrap_err()
                .contains("several")
        );
    }
}
