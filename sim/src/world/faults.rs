//! What can be done to the network, to disks and to clocks, and the end of all of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Host, World};
use crate::disk::Trigger;
use crate::disk::faults::{DiskFaults, DiskOp};
use crate::locked;
use crate::net::link::NetConfig;

impl World {
    // ---- network ----

    /// Changes how the network behaves from now on.
    pub fn configure_net(&self, change: impl FnOnce(&mut NetConfig)) {
        self.0.net.configure(change);
    }

    /// Closes all links between the nodes of `a` and those of `b`. Partitions add up: each needs its own [`World::heal`].
    pub fn partition(&self, a: &[Host], b: &[Host]) {
        self.cut(a, b, true);
        self.cut(b, a, true);
        self.0.shared.count("fault.partition");
        self.0
            .shared
            .line("net", &format!("{} | {}", self.names(a), self.names(b)));
    }

    /// Closes the links from `from` to `to` only.
    pub fn partition_one_way(&self, from: &[Host], to: &[Host]) {
        self.cut(from, to, true);
        self.0.shared.count("fault.partition_one_way");
        self.0
            .shared
            .line("net", &format!("{} -/-> {}", self.names(from), self.names(to)));
    }

    /// Ends a partition made by [`World::partition`] with the same sides.
    pub fn heal(&self, a: &[Host], b: &[Host]) {
        self.cut(a, b, false);
        self.cut(b, a, false);
        self.0
            .shared
            .line("net", &format!("{} - {}", self.names(a), self.names(b)));
    }

    /// Ends a partition made by [`World::partition_one_way`] with the same sides.
    pub fn heal_one_way(&self, from: &[Host], to: &[Host]) {
        self.cut(from, to, false);
        self.0
            .shared
            .line("net", &format!("{} --> {}", self.names(from), self.names(to)));
    }

    fn cut(&self, from: &[Host], to: &[Host], block: bool) {
        for (a, b) in from
            .iter()
            .flat_map(|a| to.iter().map(move |b| (a.0, b.0)))
            .filter(|(a, b)| a != b)
        {
            if block {
                self.0.net.block(a, b)
            } else {
                self.0.net.unblock(a, b)
            }
        }
    }

    /// Closes all links between `host` and the others.
    pub fn isolate(&self, host: Host) {
        let others: Vec<Host> = self.hosts().into_iter().filter(|h| *h != host).collect();
        self.partition(&[host], &others);
    }

    /// Opens all links.
    pub fn heal_all(&self) {
        self.0.net.unblock_all();
        self.0.shared.line("net", "all links are open");
    }

    /// Makes each segment from `from` to `to` take so much longer.
    pub fn slow_link(&self, from: Host, to: Host, extra: Duration) {
        self.0.net.slow_down(from.0, to.0, extra.as_micros() as u64);
        self.0.shared.line(
            "net",
            &format!("{} to {} takes {extra:?} longer", self.name(from), self.name(to)),
        );
    }

    /// Resets the connections between two nodes; says how many there were.
    pub fn reset_connections(&self, a: Host, b: Host) -> u64 {
        let count = self.0.net.reset_between(a.0, b.0);
        self.0.shared.line(
            "net",
            &format!("{count} resets between {} and {}", self.name(a), self.name(b)),
        );
        count
    }

    // ---- disks and clocks ----

    /// Sets what the disk does, now and whenever no fault of a plan is active on it.
    pub fn set_disk(&self, host: Host, faults: DiskFaults) {
        self.node(host, |n| {
            n.calm = faults.clone();
            *locked(&n.disk.faults) = faults;
        });
    }

    /// Sets what the disk does until [`World::calm_disk`].
    pub fn fault_disk(&self, host: Host, faults: DiskFaults) {
        self.0.shared.line(&self.name(host), &format!("{faults:?}"));
        self.node(host, |n| *locked(&n.disk.faults) = faults);
    }

    /// Ends [`World::fault_disk`].
    pub fn calm_disk(&self, host: Host) {
        self.node(host, |n| *locked(&n.disk.faults) = n.calm.clone());
    }

    /// Leaves only so many bytes free on the disk; `None` lifts the limit.
    pub fn limit_disk(&self, host: Host, free: Option<u64>) {
        let disk = self.disk(host);
        disk.set_capacity(free.map(|free| disk.used() + free));
        self.0
            .shared
            .line(&self.name(host), &format!("disk: free bytes {free:?}"));
    }

    /// Runs `action` when the node is about to do its `skip`+1st operation of this kind on a path that contains `path`; the
    /// operation never ends. Forgotten when the node stops.
    pub fn at_disk_op(
        &self,
        host: Host,
        op: DiskOp,
        path: &str,
        skip: u64,
        action: impl FnOnce() + Send + 'static,
    ) {
        let trigger = Trigger {
            op,
            path: path.into(),
            skip,
            action: Box::new(self.guarded(action)),
        };
        self.node(host, |n| locked(&n.disk.triggers).push(trigger));
    }

    /// Moves the node's wall clock.
    pub fn jump_wall(&self, host: Host, ms: i64) {
        self.node(host, |n| n.clock.jump(ms));
        self.0.shared.count("fault.wall_jump");
        self.0
            .shared
            .line(&self.name(host), &format!("wall clock jumps by {ms} ms"));
    }

    /// Makes the node's clocks run fast or slow by parts per million.
    pub fn set_drift(&self, host: Host, ppm: i32) {
        self.node(host, |n| n.clock.set_drift(ppm));
        self.0
            .shared
            .line(&self.name(host), &format!("clocks run {ppm} ppm fast"));
    }

    /// Ends all faults: what is left of started plans does nothing, links are open, disks and clocks run as they should,
    /// paused nodes run on, nodes that were crashed start (not those whose process ended by itself). What follows is the liveness phase.
    pub fn calm(&self) {
        self.0.calms.fetch_add(1, Ordering::Relaxed);
        self.0.shared.line("-", "all faults end");
        self.0.net.unblock_all();
        for host in self.hosts() {
            self.calm_disk(host);
            self.disk(host).set_capacity(None);
            self.node(host, |n| {
                n.clock.set_drift(0);
                n.pauses = n.pauses.min(1);
                locked(&n.disk.triggers).clear();
            });
            for other in self.hosts() {
                self.0.net.slow_down(host.0, other.0, 0);
            }
            self.resume(host);
            if self.node(host, |n| n.fallen) {
                self.start(host);
            }
        }
    }
}
