//! Damage to the files of a log directory: an edit is a file and what becomes of it.

use super::build::{FOLDER, Files};
use crate::input::Input;

/// What the edits did, as far as it decides what may be expected.
#[derive(Debug, Default, Clone, Copy)]
pub struct Damage {
    /// Edits of segments.
    pub segments: usize,
    /// Edits that bring bytes to a place where they were not.
    pub moved_bytes: usize,
    /// Files that got another state's name.
    pub renamed: usize,
}

/// Does up to seven edits.
pub fn edit(files: &mut Files, input: &mut Input) -> Damage {
    let mut damage = Damage::default();
    for _ in 0..input.below(8) {
        one(files, input, &mut damage);
    }
    damage
}

/// A file to edit; every second time it is a segment.
fn pick(files: &Files, input: &mut Input) -> Option<String> {
    let segments_only = input.one_in(2);
    let eligible = |path: &&String| !segments_only || is_segment(path);
    let paths: Vec<&String> = files.keys().filter(eligible).collect();
    paths.get(input.below(paths.len())).map(|path| path.to_string())
}

/// Whether it is a segment's log.
pub fn is_segment(path: &str) -> bool {
    path.starts_with(FOLDER) && path.ends_with(".log")
}

fn one(files: &mut Files, input: &mut Input, damage: &mut Damage) {
    let Some(path) = pick(files, input) else { return };
    let kind = input.byte() % 10;
    damage.segments += usize::from(is_segment(&path));
    match kind {
        0 => {
            files.remove(&path);
            return;
        }
        1 => return rename(files, &path, input, damage),
        7 | 8 => damage.moved_bytes += 1,
        _ => {}
    }
    let other = if kind == 7 { pick(files, input) } else { None };
    let other = other
        .and_then(|other| files.get(&other).cloned())
        .unwrap_or_default();
    if let Some(bytes) = files.get_mut(&path) {
        change(bytes, kind, &other, input);
    }
}

fn change(bytes: &mut Vec<u8>, kind: u8, other: &[u8], input: &mut Input) {
    let at = input.below(bytes.len() + 1).min(bytes.len());
    match kind {
        2 | 3 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (input.byte() % 8);
            }
        }
        4 => bytes.truncate(at),
        5 => {
            let count = input.below(200);
            bytes.iter_mut().skip(at).take(count).for_each(|b| *b = 0);
        }
        6 => {
            let count = input.below(9);
            let new = input.take(count);
            bytes.iter_mut().skip(at).zip(new).for_each(|(b, new)| *b = *new);
        }
        7 => {
            let from = input.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        8 => {
            let count = input.below(200);
            let piece: Vec<u8> = bytes.iter().skip(at).take(count).copied().collect();
            bytes.splice(at..at, piece);
        }
        _ => {
            // Room that a crash left behind, or rot.
            let count = input.below(200);
            let filler = input.byte() % 2 * 0xff;
            bytes.extend(std::iter::repeat_n(filler, count));
        }
    }
}

fn rename(files: &mut Files, path: &str, input: &mut Input, damage: &mut Damage) {
    let suffix = [".deleted", ".cleaned", ".swap", ".tmp"][input.below(4)];
    if let Some(bytes) = files.remove(path) {
        files.insert(format!("{path}{suffix}"), bytes);
        damage.renamed += 1;
    }
}
