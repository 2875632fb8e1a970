//! `INVARIANTS.md` names tests that exist.

#[test]
fn the_table_names_tests_that_exist() {
    let files = [
        ("`offsets.rs`", include_str!("offsets.rs")),
        ("`properties.rs`", include_str!("properties.rs")),
        ("`stories.rs`", include_str!("stories.rs")),
    ];
    let table = include_str!("../INVARIANTS.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| G")).collect();
    assert_eq!(rows.len(), 9);
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().expect("a cell");
        if test == "-" {
            continue;
        }
        let (file, name) = test.split_once(' ').expect("a file and a test");
        let source = files.iter().find(|(f, _)| *f == file).expect("a file").1;
        let function = format!("fn {}(", name.trim_matches('`'));
        assert!(source.contains(&function), "{file} has no {function}");
    }
}
