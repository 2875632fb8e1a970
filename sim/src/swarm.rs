//! Plans drawn from a seed. Each run draws which classes of faults exist in it and how hot they are (swarm testing): a run with
//! every fault at once hides what a run with few of them finds.

use std::time::Duration;

use ottla_io::Rng;

use crate::disk::faults::{DiskFaults, DiskOp};
use crate::net::link::NetConfig;
use crate::plan::{FORMAT, Fault, Plan, Step, Survives};

/// What plans may be drawn.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Nodes that may be crashed, paused and given bad disks and clocks.
    pub nodes: Vec<String>,
    /// Nodes that may only be cut off and have connections reset (clients).
    pub others: Vec<String>,
    /// Faults begin within this time.
    pub horizon: Duration,
    /// At most so many faults.
    pub most: u64,
    /// Whether disks may fail and fill up.
    pub disk_errors: bool,
    /// Whether machines may lose power: only if what is tried promises to survive that.
    pub power_loss: bool,
}

/// Classes of faults, each of which a run has or has not.
const CLASSES: [Class; 10] = [
    Class::Crash,
    Class::Power,
    Class::PowerAtSync,
    Class::Pause,
    Class::Partition,
    Class::SlowLink,
    Class::Reset,
    Class::Disk,
    Class::Full,
    Class::Clock,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Crash,
    Power,
    PowerAtSync,
    Pause,
    Partition,
    SlowLink,
    Reset,
    Disk,
    Full,
    Clock,
}

impl Swarm {
    /// All classes on these nodes, faults within 30 s.
    pub fn new(nodes: &[&str]) -> Self {
        Swarm {
            nodes: nodes.iter().map(|n| n.to_string()).collect(),
            others: Vec::new(),
            horizon: Duration::from_secs(30),
            most: 20,
            disk_errors: true,
            power_loss: true,
        }
    }

    /// The plan of a seed.
    pub fn draw(&self, seed: u64) -> Plan {
        let mut rng = Rng::from_number(seed, "plan");
        let rng = &mut rng;
        let mut plan = Plan {
            format: FORMAT,
            seed,
            schedule: seed,
            net: net(rng),
            disk: disk(rng),
            faults: vec![],
        };
        let mut classes: Vec<Class> = CLASSES.into_iter().filter(|c| self.allows(*c)).collect();
        classes.retain(|_| rng.chance(0.4));
        let horizon = self.horizon.as_millis() as u64;
        if !classes.is_empty() && !self.nodes.is_empty() {
            for _ in 0..rng.below(self.most + 1) {
                let at_ms = rng.below(horizon);
                let class = classes[rng.below(classes.len() as u64) as usize];
                plan.faults
                    .extend(self.fault(class, rng).map(|fault| Step { at_ms, fault }));
            }
        }
        plan.faults.sort_by_key(|step| step.at_ms);
        plan
    }

    fn allows(&self, class: Class) -> bool {
        match class {
            Class::Power | Class::PowerAtSync => self.power_loss,
            Class::Disk | Class::Full => self.disk_errors,
            _ => true,
        }
    }

    fn fault(&self, class: Class, rng: &mut Rng) -> Option<Fault> {
        let node = rng.pick(&self.nodes)?.clone();
        let down_ms = if rng.chance(0.2) {
            rng.between(3_000, 20_000)
        } else {
            rng.between(1, 1_500)
        };
        let ms = if rng.chance(0.2) {
            rng.between(5_000, 30_000)
        } else {
            rng.between(10, 3_000)
        };
        Some(match class {
            Class::Crash => Fault::Crash { node, down_ms },
            Class::Power => Fault::PowerLoss {
                node,
                survives: survives(rng),
                down_ms,
            },
            Class::PowerAtSync => Fault::PowerLossBefore {
                node,
                op: *rng.pick(&[DiskOp::Sync, DiskOp::SyncDir, DiskOp::Rename, DiskOp::Write])?,
                path: String::new(),
                skip: rng.below(6),
                survives: survives(rng),
                down_ms,
            },
            Class::Pause => Fault::Pause { node, ms },
            Class::Partition => self.partition(ms, rng)?,
            Class::SlowLink => {
                let (from, to) = self.pair(rng)?;
                Fault::SlowLink {
                    from,
                    to,
                    extra_us: rng.between(1_000, 800_000),
                    ms,
                }
            }
            Class::Reset => {
                let (a, b) = self.pair(rng)?;
                Fault::Reset { a, b }
            }
            Class::Disk => Fault::Disk {
                node,
                disk: Box::new(bad_disk(rng)),
                ms,
            },
            Class::Full => Fault::Full {
                node,
                free: rng.below(200_000),
                ms,
            },
            Class::Clock if rng.chance(0.5) => Fault::WallJump {
                node,
                by_ms: rng.between(0, 240_000) as i64 - 120_000,
            },
            Class::Clock => Fault::Drift {
                node,
                ppm: rng.between(0, 200_000) as i32 - 100_000,
                ms,
            },
        })
    }

    fn everybody(&self) -> Vec<String> {
        self.nodes.iter().chain(&self.others).cloned().collect()
    }

    fn pair(&self, rng: &mut Rng) -> Option<(String, String)> {
        let mut all = self.everybody();
        rng.shuffle(&mut all);
        Some((all.first()?.clone(), all.get(1)?.clone()))
    }

    fn partition(&self, ms: u64, rng: &mut Rng) -> Option<Fault> {
        let mut all = self.everybody();
        rng.shuffle(&mut all);
        let cut = if rng.chance(0.5) {
            1
        } else {
            rng.between(1, (all.len() as u64).saturating_sub(1))
        };
        if all.len() < 2 {
            return None;
        }
        let mut b = all.split_off(cut as usize);
        // A partial partition: some nodes see both sides.
        if rng.chance(0.3) {
            b.truncate(1);
        }
        Some(Fault::Partition {
            a: all,
            b,
            one_way: rng.chance(0.3),
            ms,
        })
    }
}

fn survives(rng: &mut Rng) -> Survives {
    match rng.below(6) {
        0 => Survives::Strict,
        1 => Survives::Adversarial,
        _ => Survives::Ext4Ordered,
    }
}

/// A network that is healthy, or not.
fn net(rng: &mut Rng) -> NetConfig {
    let mut net = NetConfig::default();
    if rng.chance(0.3) {
        net.latency_us = (rng.between(100, 2_000), rng.between(2_000, 60_000));
    }
    if rng.chance(0.3) {
        net.loss = 0.02 * rng.unit();
    }
    if rng.chance(0.2) {
        net.reset = 0.001 * rng.unit();
    }
    if rng.chance(0.3) {
        net.segment = (1, rng.between(100, 4_000) as usize);
    }
    if rng.chance(0.4) {
        net.short = 0.5 * rng.unit();
    }
    net.reset_discards = rng.chance(0.5);
    net
}

/// A disk that is healthy but may be slow.
fn disk(rng: &mut Rng) -> DiskFaults {
    let mut disk = DiskFaults::healthy();
    if rng.chance(0.3) {
        disk.slow = rng.unit();
    }
    if rng.chance(0.2) {
        disk.sync_us = (1_000, 40_000);
    }
    if rng.chance(0.3) {
        disk.short_read = 0.3 * rng.unit();
        disk.short_write = 0.3 * rng.unit();
    }
    disk
}

fn bad_disk(rng: &mut Rng) -> DiskFaults {
    let mut disk = DiskFaults::healthy();
    let heat = 0.2 * rng.unit() * rng.unit();
    match rng.below(5) {
        0 => disk.read_error = heat,
        1 => disk.write_error = heat,
        2 => disk.sync_error = heat,
        3 => disk.no_space = heat,
        _ => disk.stall = heat,
    }
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_drawn_and_every_plan_survives_its_file() {
        let swarm = Swarm {
            others: vec!["c1".into()],
            ..Swarm::new(&["n1", "n2", "n3"])
        };
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let plan = swarm.draw(seed);
            assert_eq!(plan, swarm.draw(seed));
            for step in &plan.faults {
                let text = format!("{:?}", step.fault);
                kinds.insert(text.split([' ', '{']).next().unwrap_or_default().to_string());
            }
            let text = plan.to_toml().unwrap();
            assert_eq!(Plan::parse(&text).unwrap(), plan, "{text}");
        }
        assert_eq!(kinds.len(), 11, "{kinds:?}");
    }

    #[test]
    fn what_is_not_allowed_is_not_drawn() {
        let swarm = Swarm {
            power_loss: false,
            disk_errors: false,
            ..Swarm::new(&["n1", "n2"])
        };
        let bad = |f: &Fault| {
            matches!(
                f,
                Fault::PowerLoss { .. }
                    | Fault::PowerLossBefore { .. }
                    | Fault::Disk { .. }
                    | Fault::Full { .. }
            )
        };
        assert!((0..200).all(|seed| !swarm.draw(seed).faults.iter().any(|step| bad(&step.fault))));
    }

    #[test]
    fn another_format_is_refused() {
        let error = Plan::parse("format = 2\nseed = 1\nschedule = 1").unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        assert!(
            Plan::parse("format = 1\nseed = 1\nschedule = 1")
                .unwrap()
                .faults
                .is_empty()
        );
    }
}
