//! `APIS.md` says of each API what the code does.

use ottla_wire::ApiKey;

/// Rows as key, name, announced versions, handler.
fn rows() -> Vec<(i16, String, String, String)> {
    let table = include_str!("../APIS.md")
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| key"));
    let cells = table.map(|line| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_string())
            .collect::<Vec<_>>()
    });
    let rows = cells.filter(|cells| !cells[0].starts_with("---"));
    rows.map(|c| {
        (
            c[0].parse().expect("a key"),
            c[1].clone(),
            c[2].clone(),
            c[3].clone(),
        )
    })
    .collect()
}

#[test]
fn each_api_has_a_row() {
    let rows = rows();
    let keys: Vec<i16> = rows.iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys, ApiKey::ALL.iter().map(|api| api.id()).collect::<Vec<_>>());
    for (api, (_, name, ..)) in ApiKey::ALL.iter().zip(&rows) {
        assert_eq!(api.name(), name);
    }
}

#[test]
fn the_table_announces_what_api_versions_announces() {
    for (api, (key, name, announced, handler)) in ApiKey::ALL.iter().zip(rows()) {
        let expected = ottla_node::announced(*api).map_or("-".into(), |(low, high)| format!("{low}-{high}"));
        assert_eq!(announced, expected, "{name} ({key})");
        assert_eq!(
            handler.ends_with(".rs`"),
            ottla_node::served(*api).is_some(),
            "{name}: {handler}"
        );
    }
}
