//! Where new replicas go (Kafka class `StripedReplicaPlacer`): leaders in turn over the racks, the other replicas on the racks
//! that follow, and within a rack on its brokers in turn. Fenced brokers come last and never lead. When every broker has
//! led once, all orders are drawn anew, so that the same brokers do not meet again and again.

use super::Draw;
use crate::image::MetadataImage;
use std::collections::BTreeMap;

/// A broker that may be given replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsableBroker {
    /// Its id.
    pub id: i32,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is fenced.
    pub fenced: bool,
}

/// Why replicas cannot be placed, in Kafka's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacementError(
    /// The message.
    pub String,
);

/// The brokers that may be given replicas: registered, staying, and with a log directory that is not cordoned (KIP-1066).
pub(super) fn usable_brokers(image: &MetadataImage) -> Vec<UsableBroker> {
    let brokers = image.cluster().brokers().filter(|broker| {
        !broker.in_controlled_shutdown
            && (broker.log_dirs.is_empty() || broker.open_log_dirs().next().is_some())
    });
    brokers
        .map(|broker| UsableBroker {
            id: broker.id,
            rack: broker.rack.clone(),
            fenced: broker.fenced,
        })
        .collect()
}

/// Replica lists for `partitions` new partitions, the preferred leader first.
pub fn place_replicas(
    brokers: &[UsableBroker],
    partitions: usize,
    replication_factor: usize,
    draw: Draw<'_>,
) -> Result<Vec<Vec<i32>>, PlacementError> {
    let total = brokers.len();
    let unfenced = brokers.iter().filter(|broker| !broker.fenced).count();
    if unfenced == 0 {
        return Err(PlacementError("All brokers are currently fenced.".to_string()));
    }
    if replication_factor > total {
        return Err(PlacementError(format!(
            "The target replication factor of {replication_factor} cannot be reached because only {total} broker(s) \
             are registered or some brokers have all their log directories cordoned."
        )));
    }
    let mut racks = Racks::new(brokers, unfenced, draw);
    Ok((0..partitions)
        .map(|_| racks.place(replication_factor, draw))
        .collect())
}

/// Brokers handed out in turn: each round begins one further.
#[derive(Default)]
struct Ring {
    brokers: Vec<i32>,
    offset: usize,
    round: usize,
    given: usize,
}

impl Ring {
    fn next(&mut self, round: usize) -> Option<i32> {
        if self.round != round {
            self.round = round;
            self.given = 0;
            self.offset += 1;
        }
        if self.given == self.brokers.len() {
            return None;
        }
        let at = (self.offset + self.given) % self.brokers.len();
        self.given += 1;
        self.brokers.get(at).copied()
    }
}

#[derive(Default)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<i32> {
        self.unfenced.next(round).or_else(|| self.fenced.next(round))
    }
}

struct Racks {
    racks: Vec<Rack>,
    offset: usize,
    round: usize,
    unfenced: usize,
}

impl Racks {
    fn new(brokers: &[UsableBroker], unfenced: usize, draw: Draw<'_>) -> Self {
        let mut sorted: Vec<&UsableBroker> = brokers.iter().collect();
        sorted.sort_by_key(|broker| broker.id);
        let mut by_rack: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in sorted {
            let rack = by_rack.entry(broker.rack.as_deref()).or_default();
            let ring = if broker.fenced {
                &mut rack.fenced
            } else {
                &mut rack.unfenced
            };
            ring.brokers.push(broker.id);
        }
        let mut racks: Vec<Rack> = by_rack.into_values().collect();
        for ring in racks
            .iter_mut()
            .flat_map(|rack| [&mut rack.fenced, &mut rack.unfenced])
        {
            ring.offset = below(ring.brokers.len(), draw);
        }
        let offset = below(racks.len(), draw);
        Racks {
            racks,
            offset,
            round: 0,
            unfenced,
        }
    }

    /// The caller has made sure that there are enough brokers, one of them unfenced; so both searches end.
    fn place(&mut self, replication_factor: usize, draw: Draw<'_>) -> Vec<i32> {
        // The count of rounds goes on: a ring that this round sees for the first time must notice (Kafka starts it again
        // at 0, and a rack that was last asked in round 0 then seems used up).
        if self.round > 0 && self.round.is_multiple_of(self.unfenced) && self.unfenced > 1 {
            self.shuffle(draw);
        }
        let count = self.racks.len();
        let round = self.round;
        let mut replicas = Vec::with_capacity(replication_factor);
        let start = self.offset % count;
        let mut leader_rack = None;
        for at in (start..count).chain(0..start) {
            if let Some(id) = self.racks[at].unfenced.next(round) {
                replicas.push(id);
                leader_rack = Some(at);
                break;
            }
        }
        let mut at = start;
        while replicas.len() < replication_factor {
            // The leader's rack has had its turn; it is passed over once.
            if leader_rack == Some(at) {
                leader_rack = None;
            } else if let Some(id) = self.racks[at].next(round) {
                replicas.push(id);
            }
            at = (at + 1) % count;
        }
        self.round += 1;
        self.offset = (start + 1) % count;
        replicas
    }

    fn shuffle(&mut self, draw: Draw<'_>) {
        shuffle(&mut self.racks, draw);
        for ring in self
            .racks
            .iter_mut()
            .flat_map(|rack| [&mut rack.fenced, &mut rack.unfenced])
        {
            shuffle(&mut ring.brokers, draw);
        }
    }
}

fn below(n: usize, draw: Draw<'_>) -> usize {
    if n == 0 { 0 } else { (draw() % n as u64) as usize }
}

fn shuffle<T>(items: &mut [T], draw: Draw<'_>) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(i + 1, draw));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dice(seed: u64) -> impl FnMut() -> u64 {
        let mut state = seed;
        move || {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    fn brokers(racks: &[(i32, Option<&str>, bool)]) -> Vec<UsableBroker> {
        let broker = |(id, rack, fenced): &(i32, Option<&str>, bool)| UsableBroker {
            id: *id,
            rack: rack.map(str::to_string),
            fenced: *fenced,
        };
        racks.iter().map(broker).collect()
    }

    #[test]
    fn without_racks_leaders_go_round() {
        let three = brokers(&[(1, None, false), (2, None, false), (3, None, false)]);
        let placed = place_replicas(&three, 3, 3, &mut || 0).unwrap();
        assert_eq!(placed, [[1, 2, 3], [2, 3, 1], [3, 1, 2]]);
    }

    #[test]
    fn racks_are_striped() {
        // The example of Kafka's own description: racks A0 A1 A2 A3, B0 B1 B2 B3, C0 C1 C2 C3.
        let mut all = Vec::new();
        for (i, rack) in [(0, "A"), (10, "B"), (20, "C")] {
            all.extend((i..i + 4).map(|id| (id, Some(rack), false)));
        }
        let placed = place_replicas(&brokers(&all), 3, 3, &mut || 0).unwrap();
        assert_eq!(placed, [[0, 10, 20], [11, 21, 1], [22, 2, 12]]);
    }

    #[test]
    fn too_few_brokers_are_told() {
        let one = brokers(&[(1, None, false)]);
        let message = place_replicas(&one, 1, 2, &mut || 0).unwrap_err().0;
        assert!(
            message
                .starts_with("The target replication factor of 2 cannot be reached because only 1 broker(s)")
        );
        let fenced = brokers(&[(1, None, true)]);
        assert_eq!(
            place_replicas(&fenced, 1, 1, &mut || 0).unwrap_err().0,
            "All brokers are currently fenced."
        );
    }

    proptest! {
        #[test]
        fn placements_are_legal_and_even(
            seed: u64,
            racks in prop::collection::vec((0..3u8, prop::bool::weighted(0.2)), 1..9),
            partitions in 1..40usize,
            wanted in 1..5usize,
        ) {
            let names = [None, Some("a"), Some("b")];
            let all: Vec<_> = (0..).zip(&racks).map(|(id, (r, f))| (id, names[usize::from(*r)], *f)).collect();
            let unfenced: Vec<i32> = all.iter().filter(|b| !b.2).map(|b| b.0).collect();
            let factor = wanted.min(all.len());
            let result = place_replicas(&brokers(&all), partitions, factor, &mut dice(seed));
            prop_assert_eq!(result.is_ok(), !unfenced.is_empty());
            let mut led: BTreeMap<i32, usize> = BTreeMap::new();
            for replicas in result.unwrap_or_default() {
                let mut sorted = replicas.clone();
                sorted.sort_unstable();
                sorted.dedup();
                prop_assert_eq!(sorted.len(), factor);
                prop_assert!(unfenced.contains(&replicas[0]));
                // A fenced broker is only taken when its rack has no unfenced one left.
                for id in replicas.iter().filter(|id| !unfenced.contains(id)) {
                    let rack = all[*id as usize].1;
                    let left = all.iter().any(|b| b.1 == rack && !b.2 && !replicas.contains(&b.0));
                    prop_assert!(!left, "{:?} takes fenced {} while its rack has another", replicas, id);
                }
                *led.entry(replicas[0]).or_default() += 1;
            }
            // One rack, nobody fenced: each round gives every broker one leadership.
            if racks.iter().all(|(r, f)| *r == racks[0].0 && !f) {
                let (most, least) = (led.values().max().unwrap(), led.values().min().unwrap());
                let least = if led.len() < all.len() { &0 } else { least };
                prop_assert!(most - least <= 1);
            }
        }
    }
}
