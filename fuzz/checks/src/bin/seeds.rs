//! Writes the valid half of the corpus, `seed-*` in `fuzz/corpus/TARGET`: `seeds [FOLDER]`, by default `fuzz/corpus`.
#![allow(clippy::disallowed_methods, reason = "a tool on the developer's machine")]

use std::path::PathBuf;

use ottla_fuzz_checks::{TARGETS, seeds};

fn main() -> std::io::Result<()> {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus");
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| here.into()));
    for (target, _) in TARGETS {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        let seeds = seeds::of(target);
        for (name, bytes) in &seeds {
            std::fs::write(folder.join(format!("seed-{name}")), bytes)?;
        }
        println!("{}: {} seeds", folder.display(), seeds.len());
    }
    Ok(())
}
