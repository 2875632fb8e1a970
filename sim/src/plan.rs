//! Faults as data: a plan says what goes wrong when, can be read from and written to TOML, and can be drawn from a seed.
//! Every fault carries its own end, so that a minimiser can take any of them away.

use std::time::Duration;

use ottla_io::mem::Profile;
use serde::{Deserialize, Serialize};

use crate::disk::faults::{DiskFaults, DiskOp};
use crate::net::link::NetConfig;
use crate::world::{Host, Options, World};

/// The version of the plan format.
pub const FORMAT: u32 = 1;

/// A whole run but for its scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Always [`FORMAT`].
    pub format: u32,
    /// Seed of latencies, losses, the workload and the nodes' entropy.
    pub seed: u64,
    /// Seed of the order in which ready tasks run.
    pub schedule: u64,
    /// The network.
    #[serde(default)]
    pub net: NetConfig,
    /// Every node's disk when no fault is active on it.
    #[serde(default = "DiskFaults::healthy")]
    pub disk: DiskFaults,
    /// What goes wrong, in the order of time.
    #[serde(default)]
    pub faults: Vec<Step>,
}

/// A fault at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Virtual milliseconds after the plan was started.
    pub at_ms: u64,
    /// What happens then.
    #[serde(flatten)]
    pub fault: Fault,
}

/// What survives a loss of power, beyond what was synced ([`Profile`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survives {
    /// Nothing.
    Strict,
    /// As on ext4 with `data=ordered`.
    #[default]
    Ext4Ordered,
    /// Any part.
    Adversarial,
}

impl From<Survives> for Profile {
    fn from(survives: Survives) -> Profile {
        match survives {
            Survives::Strict => Profile::Strict,
            Survives::Ext4Ordered => Profile::Ext4Ordered,
            Survives::Adversarial => Profile::Adversarial,
        }
    }
}

/// A fault. Nodes are named; a node that does not exist makes the plan invalid ([`World::start_plan`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum Fault {
    /// The process is killed and started again.
    Crash {
        /// Whose.
        node: String,
        /// How long it is down.
        down_ms: u64,
    },
    /// The machine loses power and is started again.
    PowerLoss {
        /// Which.
        node: String,
        /// What its disk keeps.
        #[serde(default)]
        survives: Survives,
        /// How long it is down.
        down_ms: u64,
    },
    /// The machine loses power right before a disk operation, the first such one after this time.
    PowerLossBefore {
        /// Which.
        node: String,
        /// The kind of operation.
        op: DiskOp,
        /// A part of its path.
        path: String,
        /// How many such operations pass before.
        #[serde(default)]
        skip: u64,
        /// What its disk keeps.
        #[serde(default)]
        survives: Survives,
        /// How long it is down.
        down_ms: u64,
    },
    /// The process stands still.
    Pause {
        /// Whose.
        node: String,
        /// How long.
        ms: u64,
    },
    /// No link between the two sides, or none from the first to the second.
    Partition {
        /// One side.
        a: Vec<String>,
        /// The other side.
        b: Vec<String>,
        /// Only from `a` to `b`.
        #[serde(default)]
        one_way: bool,
        /// How long.
        ms: u64,
    },
    /// Segments in one direction take longer.
    SlowLink {
        /// From this node.
        from: String,
        /// To that one.
        to: String,
        /// How much longer, in microseconds.
        extra_us: u64,
        /// How long.
        ms: u64,
    },
    /// All connections between two nodes are reset.
    Reset {
        /// One node.
        a: String,
        /// The other.
        b: String,
    },
    /// A disk behaves like this.
    Disk {
        /// Whose.
        node: String,
        /// How.
        disk: Box<DiskFaults>,
        /// How long.
        ms: u64,
    },
    /// A disk is nearly full.
    Full {
        /// Whose.
        node: String,
        /// Bytes that are still free.
        free: u64,
        /// How long.
        ms: u64,
    },
    /// The wall clock jumps.
    WallJump {
        /// Whose.
        node: String,
        /// By how much.
        by_ms: i64,
    },
    /// The clocks run fast, or slow.
    Drift {
        /// Whose.
        node: String,
        /// Parts per million.
        ppm: i32,
        /// How long.
        ms: u64,
    },
}

/// Why a text or a plan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError(
    /// What is wrong.
    pub String,
);

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a usable plan: {}", self.0)
    }
}

impl std::error::Error for PlanError {}

impl Plan {
    /// A plan without faults.
    pub fn calm(seed: u64) -> Plan {
        let (net, disk) = (NetConfig::default(), DiskFaults::healthy());
        Plan {
            format: FORMAT,
            seed,
            schedule: seed,
            net,
            disk,
            faults: Vec::new(),
        }
    }

    /// Reads TOML.
    pub fn parse(text: &str) -> Result<Plan, PlanError> {
        let plan: Plan = toml::from_str(text).map_err(|e| PlanError(e.to_string()))?;
        if plan.format != FORMAT {
            return Err(PlanError(format!(
                "format {} is not known; this program knows {FORMAT}",
                plan.format
            )));
        }
        Ok(plan)
    }

    /// Writes TOML.
    pub fn to_toml(&self) -> Result<String, PlanError> {
        toml::to_string(self).map_err(|e| PlanError(e.to_string()))
    }

    /// The world that this plan wants.
    pub fn options(&self, limit: Duration) -> Options {
        Options {
            seed: self.seed,
            schedule: self.schedule,
            net: self.net.clone(),
            limit,
        }
    }

    /// When the last fault has ended, if nothing ends it before. A fault bound to a disk operation may never happen.
    pub fn end(&self) -> Duration {
        let end = |step: &Step| {
            step.at_ms
                + match &step.fault {
                    Fault::Crash { down_ms, .. }
                    | Fault::PowerLoss { down_ms, .. }
                    | Fault::PowerLossBefore { down_ms, .. } => *down_ms,
                    Fault::Pause { ms, .. }
                    | Fault::Partition { ms, .. }
                    | Fault::SlowLink { ms, .. }
                    | Fault::Disk { ms, .. }
                    | Fault::Full { ms, .. }
                    | Fault::Drift { ms, .. } => *ms,
                    Fault::Reset { .. } | Fault::WallJump { .. } => 0,
                }
        };
        Duration::from_millis(self.faults.iter().map(end).max().unwrap_or(0))
    }
}

impl World {
    /// Sets all disks as the plan says and starts its faults. Nodes that it names must exist.
    pub fn start_plan(&self, plan: &Plan) -> Result<(), PlanError> {
        for step in &plan.faults {
            for name in step.fault.nodes() {
                self.host(name)
                    .ok_or_else(|| PlanError(format!("there is no node `{name}`")))?;
            }
        }
        for host in self.hosts() {
            self.set_disk(host, plan.disk.clone());
        }
        let calms = self.calms();
        for step in plan.faults.clone() {
            let world = self.clone();
            self.after(Duration::from_millis(step.at_ms), move || {
                if world.calms() == calms {
                    world.apply(&step.fault);
                }
            });
        }
        Ok(())
    }

    /// Makes a fault happen now, and its end when its time has come. A fault on a node that is down is passed over.
    pub fn apply(&self, fault: &Fault) {
        let host = |name: &String| {
            self.host(name)
                .unwrap_or_else(|| panic!("there is no node `{name}`"))
        };
        let hosts = |names: &[String]| names.iter().map(host).collect::<Vec<Host>>();
        match fault {
            Fault::Crash { node, down_ms } => self.down(host(node), None, *down_ms),
            Fault::PowerLoss {
                node,
                survives,
                down_ms,
            } => self.down(host(node), Some(*survives), *down_ms),
            Fault::PowerLossBefore {
                node,
                op,
                path,
                skip,
                survives,
                down_ms,
            } => {
                let (node, world, survives, down_ms) = (host(node), self.clone(), *survives, *down_ms);
                let action = move || world.down(node, Some(survives), down_ms);
                self.at_disk_op(node, *op, path, *skip, action);
            }
            Fault::Pause { node, ms } => {
                let node = host(node);
                self.pause(node);
                let turns = self.turns(node);
                self.until(*ms, move |world| {
                    if world.turns(node) == turns {
                        world.resume(node);
                    }
                });
            }
            Fault::Partition { a, b, one_way, ms } => {
                let (a, b, one_way) = (hosts(a), hosts(b), *one_way);
                if one_way {
                    self.partition_one_way(&a, &b)
                } else {
                    self.partition(&a, &b)
                }
                self.until(*ms, move |world| {
                    if one_way {
                        world.heal_one_way(&a, &b)
                    } else {
                        world.heal(&a, &b)
                    }
                });
            }
            Fault::SlowLink {
                from,
                to,
                extra_us,
                ms,
            } => {
                let (from, to) = (host(from), host(to));
                self.count("fault.slow_link");
                self.slow_link(from, to, Duration::from_micros(*extra_us));
                self.until(*ms, move |world| world.slow_link(from, to, Duration::ZERO));
            }
            Fault::Reset { a, b } => {
                if self.reset_connections(host(a), host(b)) > 0 {
                    self.count("fault.reset");
                }
            }
            Fault::Disk { node, disk, ms } => {
                let node = host(node);
                self.count("fault.disk");
                self.fault_disk(node, DiskFaults::clone(disk));
                self.until(*ms, move |world| world.calm_disk(node));
            }
            Fault::Full { node, free, ms } => {
                let node = host(node);
                self.count("fault.full");
                self.limit_disk(node, Some(*free));
                self.until(*ms, move |world| world.limit_disk(node, None));
            }
            Fault::WallJump { node, by_ms } => self.jump_wall(host(node), *by_ms),
            Fault::Drift { node, ppm, ms } => {
                let node = host(node);
                self.count("fault.drift");
                self.set_drift(node, *ppm);
                self.until(*ms, move |world| world.set_drift(node, 0));
            }
        }
    }

    fn down(&self, host: Host, power: Option<Survives>, down_ms: u64) {
        if !self.is_up(host) {
            self.count("fault.passed_over");
            return;
        }
        match power {
            None => self.crash(host),
            Some(survives) => self.power_loss(host, survives.into()),
        };
        let turns = self.turns(host);
        self.until(down_ms, move |world| {
            if world.turns(host) == turns {
                world.restart(host);
            }
        });
    }

    fn until(&self, ms: u64, end: impl FnOnce(&World) + Send + 'static) {
        let (world, calms) = (self.clone(), self.calms());
        self.after(Duration::from_millis(ms), move || {
            if world.calms() == calms {
                end(&world);
            }
        });
    }
}

impl Fault {
    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<&String> {
        match self {
            Fault::Crash { node, .. }
            | Fault::PowerLoss { node, .. }
            | Fault::PowerLossBefore { node, .. }
            | Fault::Pause { node, .. }
            | Fault::Disk { node, .. }
            | Fault::Full { node, .. }
            | Fault::WallJump { node, .. }
            | Fault::Drift { node, .. } => vec![node],
            Fault::Partition { a, b, .. } => a.iter().chain(b).collect(),
            Fault::SlowLink { from, to, .. } => vec![from, to],
            Fault::Reset { a, b } => vec![a, b],
        }
    }
}
