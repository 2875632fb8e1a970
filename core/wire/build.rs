//! Generates the protocol's messages and records from the definition files in `defs/` (their format stands in
//! `defs/extract.py`). The generator itself is in `codegen/`; this file only finds the input and places the output.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script reads and writes files; it is no part of the product"
)]

#[path = "codegen/mod.rs"]
mod codegen;

use std::path::{Path, PathBuf};

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-changed=defs");
    println!("cargo::rerun-if-changed=codegen");
    println!("cargo::rerun-if-changed=build.rs");

    let mut rpc: Vec<PathBuf> = std::fs::read_dir("defs/rpc")
        .expect("defs/rpc exists")
        .map(|entry| entry.expect("readable").path())
        .collect();
    rpc.sort();
    let rpc: Vec<_> = rpc.iter().flat_map(|path| load(path)).collect();

    let mut tests = codegen::TestOutput::default();
    write(&out, "messages", &codegen::messages(&rpc, &mut tests));
    write(&out, "schemas", &codegen::schema_table(&rpc));
    for group in codegen::GROUPS {
        let messages = load(Path::new(&format!("defs/{}.def", group.file)));
        write(&out, group.file, &codegen::group(group, &messages, &mut tests));
    }
    write(&out, "testgen", &tests.finish());
}

fn load(path: &Path) -> Vec<codegen::Message> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    codegen::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn write(out: &Path, name: &str, text: &str) {
    let path = out.join(format!("{name}.rs"));
    std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
