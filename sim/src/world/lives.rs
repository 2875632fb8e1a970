//! The lives of nodes: start, end, crash, loss of power, pause.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla_io::mem::{LossReport, Profile};
use ottla_io::{Env, Outcome, Rng};

use super::shared::Watch;
use super::{Host, Running, World};
use crate::clock::SimClock;
use crate::disk::SimDisk;
use crate::entropy::SimEntropy;
use crate::locked;
use crate::net::SimNet;
use crate::tasks::SimTasks;

impl World {
    /// Starts a node's process: `main` runs in it, and when `main` returns the process has ended. Kept for [`World::restart`].
    /// Panics if the node is up.
    pub fn boot<F>(&self, host: Host, main: impl Fn(Env) -> F + Send + Sync + 'static) -> Env
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.node(host, |n| n.main = Some(Arc::new(move |env| Box::pin(main(env)))));
        self.start(host)
    }

    /// Starts a process without a `main`, for a scenario that uses the node's [`Env`] itself.
    pub fn boot_idle(&self, host: Host) -> Env {
        self.boot(host, |_| std::future::pending())
    }

    /// Crashes the node's process if it is up, and starts it again with the same `main`.
    pub fn restart(&self, host: Host) -> Env {
        if self.is_up(host) {
            self.crash(host);
        }
        self.start(host)
    }

    pub(super) fn start(&self, host: Host) -> Env {
        let mut nodes = locked(&self.0.nodes);
        let node = &mut nodes[host.0];
        assert!(node.running.is_none(), "{} is up already", node.name);
        let main = node
            .main
            .clone()
            .unwrap_or_else(|| panic!("{} was never booted", node.name));
        let shared = &self.0.shared;
        shared.line(&node.name, "starts");
        node.turns += 1;
        node.fallen = false;
        let process = self.0.executor.process(&node.name);
        let incarnation = self.0.net.start(host.0);
        let seed = SimEntropy::new(self.0.seed, host.0, incarnation);
        let pool = Rng::from_number(self.0.seed ^ incarnation, &format!("pool {}", host.0));
        let alive = Arc::new(AtomicBool::new(true));
        let watch = Watch {
            shared: shared.clone(),
            host,
            name: node.name.clone(),
            alive: alive.clone(),
        };
        let env = Env {
            clock: Arc::new(SimClock::new(node.clock.clone())),
            net: Arc::new(SimNet::new(self.0.net.clone(), host.0, incarnation)),
            disk: Arc::new(SimDisk::new(node.disk.clone())),
            entropy: Arc::new(seed),
            tasks: Arc::new(SimTasks::new(
                shared.clone(),
                process.clone(),
                node.name.clone(),
                pool,
            )),
            observer: Arc::new(watch),
        };
        node.running = Some(Running {
            process: process.clone(),
            env: env.clone(),
            alive,
        });
        let turn = node.turns;
        drop(nodes);
        let task = env.tasks.spawn("main", main(env.clone()));
        let world = self.clone();
        process.spawn(async move {
            let outcome = task.join().await;
            world.exited(host, turn, &outcome);
        });
        env
    }

    fn exited(&self, host: Host, turn: u64, outcome: &Outcome) {
        if self.node(host, |n| n.turns == turn) {
            self.0
                .shared
                .line(&self.name(host), &format!("exits: {outcome:?}"));
            self.stop(host, false);
            self.node(host, |n| n.fallen = false);
            self.disk(host).crash();
        }
    }

    /// The environment of the node's process, if it is up.
    pub fn env(&self, host: Host) -> Option<Env> {
        self.node(host, |n| n.running.as_ref().map(|r| r.env.clone()))
    }

    /// Whether the node's process runs (or is paused).
    pub fn is_up(&self, host: Host) -> bool {
        self.node(host, |n| n.running.is_some())
    }

    /// Waits until the node's process has ended by itself or was crashed.
    pub async fn wait_down(&self, host: Host) {
        while self.is_up(host) {
            self.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills the process (SIGKILL): its machine closes its connections, its page cache survives. Nothing happens if it is down.
    pub fn crash(&self, host: Host) -> LossReport {
        if !self.stop(host, false) {
            return LossReport::default();
        }
        let report = self.disk(host).crash();
        self.0.shared.count("fault.crash");
        self.0
            .shared
            .line(&self.name(host), &format!("crashes: {report}"));
        report
    }

    /// The machine loses power: its peers hear nothing, and its disk keeps what `profile` allows. A node that is down loses its
    /// page cache too.
    pub fn power_loss(&self, host: Host, profile: Profile) -> LossReport {
        self.stop(host, true);
        let report = {
            let mut rng = locked(&self.0.losses);
            self.disk(host).power_loss(profile, &mut |n| rng.below(n))
        };
        let shared = &self.0.shared;
        shared.count("fault.power_loss");
        shared.add("loss.bytes", report.bytes_lost);
        shared.add("loss.torn_files", report.torn_files);
        shared.add("loss.zeroed_files", report.zeroed_files);
        shared.add("loss.cuts", report.cuts_lost);
        shared.add("loss.creates", report.creates_lost);
        shared.add("loss.removes", report.removes_lost);
        shared.add("loss.renames", report.renames_lost);
        shared.line(&self.name(host), &format!("loses power ({profile:?}): {report}"));
        report
    }

    /// Ends the process, if there is one.
    pub(super) fn stop(&self, host: Host, power: bool) -> bool {
        let running = self.node(host, |n| {
            n.turns += 1;
            n.pauses = 0;
            n.fallen |= n.running.is_some();
            locked(&n.disk.triggers).clear();
            n.running.take()
        });
        if running.is_some() || power {
            self.0.net.stop(host.0, power);
        }
        let Some(running) = running else { return false };
        running.alive.store(false, Ordering::Relaxed);
        running.process.kill();
        true
    }

    /// Stops the process where it is (SIGSTOP, a long collection, a frozen machine). Its machine goes on: connections stay.
    pub fn pause(&self, host: Host) {
        let paused = self.node(host, |n| {
            let running = n.running.as_ref()?;
            running.process.pause();
            n.pauses += 1;
            Some(())
        });
        if paused.is_some() {
            self.0.shared.count("fault.pause");
            self.0.shared.line(&self.name(host), "is paused");
        }
    }

    /// Lets it run on, when each pause has ended.
    pub fn resume(&self, host: Host) {
        let resumed = self.node(host, |n| {
            n.pauses = n.pauses.checked_sub(1)?;
            let running = n.running.as_ref().filter(|_| n.pauses == 0)?;
            running.process.resume();
            Some(())
        });
        if resumed.is_some() {
            self.0.shared.line(&self.name(host), "runs on");
        }
    }
}
