//! Which of the sound batches belong together. Their bodies are as they were written, but a base offset or a leader epoch may have
//! been changed: one that is too high must not cost all the batches behind it.

use super::Run;
use ottla_types::Offset;
use std::collections::BTreeMap;

/// For each run, in order of position, whether it is kept: the most batches such that offsets ascend, and of these the most
/// such that leader epochs do not fall. Where numbers leave it open, what others confirm: `expected` says of each run whether it
/// begins where its segment does or the run before it ends; of epochs, those that several runs have.
pub(super) fn choose(runs: &[Run], expected: &[bool]) -> Vec<bool> {
    let spans = runs.iter().zip(expected);
    let spans: Vec<Span> = spans
        .map(|(r, expected)| (r.base, r.next(), 2 * r.batches + u64::from(*expected)))
        .collect();
    let mut keep = heaviest_chain(&spans);
    // An unknown epoch (−1) agrees with any.
    let with_epoch: Vec<usize> = (0..runs.len())
        .filter(|i| keep.get(*i) == Some(&true) && runs.get(*i).is_some_and(|r| r.epoch >= 0))
        .collect();
    let mut of_epoch: BTreeMap<i32, u64> = BTreeMap::new();
    let epochs: Vec<&Run> = with_epoch.iter().filter_map(|i| runs.get(*i)).collect();
    for run in &epochs {
        *of_epoch.entry(run.epoch).or_default() += 1;
    }
    let spans = epochs.iter().map(|r| {
        let shared = of_epoch.get(&r.epoch).is_some_and(|n| *n > 1);
        (
            i64::from(r.epoch),
            i64::from(r.epoch),
            2 * r.batches + u64::from(shared),
        )
    });
    let spans: Vec<Span> = spans.collect();
    for (i, kept) in with_epoch.into_iter().zip(heaviest_chain(&spans)) {
        if let Some(keep) = keep.get_mut(i) {
            *keep = kept;
        }
    }
    keep
}

/// Where it begins, the least that may follow, its weight.
type Span = (Offset, Offset, u64);

/// A heaviest chain of spans in which each begins at or above what the one before lets follow; of several the one that ends lowest.
fn heaviest_chain(spans: &[Span]) -> Vec<bool> {
    let ascending = spans.windows(2).all(|pair| match pair {
        [a, b] => a.1 <= b.0,
        _ => true,
    });
    if ascending {
        return vec![true; spans.len()];
    }
    // By where a chain ends: its weight and last span. Weights ascend with the ends: a lighter chain that ends higher is of no use.
    let mut ends: BTreeMap<Offset, (u64, usize)> = BTreeMap::new();
    let mut before = vec![None; spans.len()];
    for (i, (begin, next, weight)) in spans.iter().enumerate() {
        let best = ends.range(..=*begin).next_back().map(|(_, chain)| *chain);
        let total = best.map_or(0, |(weight, _)| weight) + weight;
        if let Some(place) = before.get_mut(i) {
            *place = best.map(|(_, last)| last);
        }
        let useful = ends
            .range(..=*next)
            .next_back()
            .is_none_or(|(_, (w, _))| *w < total);
        if useful {
            while let Some((end, _)) = ends.range(*next..).next().filter(|(_, (w, _))| *w <= total) {
                let end = *end;
                ends.remove(&end);
            }
            ends.insert(*next, (total, i));
        }
    }
    let mut keep = vec![false; spans.len()];
    let mut at = ends.last_key_value().map(|(_, (_, last))| *last);
    while let Some(i) = at {
        if let Some(kept) = keep.get_mut(i) {
            *kept = true;
        }
        at = before.get(i).copied().flatten();
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(base: Offset, last: Offset, epoch: i32, batches: u64) -> Run {
        Run {
            position: 0,
            bytes: 0,
            base,
            last,
            epoch,
            batches,
            records: 0,
        }
    }

    fn kept(runs: &[Run]) -> Vec<bool> {
        let before = std::iter::once(0).chain(runs.iter().map(Run::next));
        let expected: Vec<bool> = runs
            .iter()
            .zip(before)
            .map(|(run, next)| run.base == next)
            .collect();
        choose(runs, &expected)
    }

    #[test]
    fn one_batch_that_contradicts_costs_itself_only() {
        // Offset 5 was changed to 900, and later one's epoch to 7.
        let runs = [
            run(0, 4, 0, 5),
            run(900, 900, 0, 1),
            run(6, 9, 0, 4),
            run(10, 10, 7, 1),
            run(11, 30, 0, 20),
        ];
        assert_eq!(kept(&runs), [true, false, true, false, true]);
        // Changed to a lower one.
        let runs = [run(0, 9, 0, 10), run(3, 3, 0, 1), run(11, 12, 0, 2)];
        assert_eq!(kept(&runs), [true, false, true]);
    }

    #[test]
    fn where_numbers_leave_it_open_others_decide() {
        let runs = [run(0, 0, 0, 1), run(0, 0, 0, 1), run(2, 2, 0, 1)];
        assert_eq!(choose(&runs, &[true, false, false]), [true, false, true]);
        let runs = [run(0, 0, 3, 1), run(1, 1, 2, 1), run(2, 2, 3, 1)];
        assert_eq!(kept(&runs), [true, false, true]);
        // One against one: the lower.
        assert_eq!(kept(&[run(900, 900, 0, 1), run(1, 1, 0, 1)]), [false, true]);
    }

    #[test]
    fn gaps_and_rising_epochs_are_no_contradiction() {
        let runs = [
            run(0, 4, 0, 5),
            run(8, 8, -1, 1),
            run(20, 25, 1, 2),
            run(26, 26, 1, 1),
        ];
        assert_eq!(kept(&runs), [true; 4]);
        assert!(kept(&[]).is_empty());
    }
}
