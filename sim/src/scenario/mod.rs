//! What can be tried by name: each scenario with the plans that suit it. A new one is a file here and a line in [`all`].

pub mod broker;
pub mod clients;
pub mod compact;
mod compacted;
pub mod connect;
pub mod echo;
pub mod full;
mod group_history;
pub mod groups;
mod history;
pub mod metadata;
mod node;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::plan::Plan;
use crate::swarm::Swarm;
use crate::world::{Report, World, run};

/// A scenario's future; it lives on the world's thread.
pub type Story = Pin<Box<dyn Future<Output = ()>>>;

/// Something to try.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it tries, in one line.
    pub about: &'static str,
    /// Which plans are drawn for it.
    pub swarm: fn() -> Swarm,
    /// Builds the nodes, starts the plan, works, calms the world and checks.
    pub story: fn(World, Plan) -> Story,
    /// Virtual time after which it is stuck.
    pub limit: Duration,
}

impl Scenario {
    /// The plan of a seed.
    pub fn draw(&self, seed: u64) -> Plan {
        (self.swarm)().draw(seed)
    }

    /// Runs it under a plan.
    pub fn run(&self, plan: &Plan) -> Report {
        let (story, plan) = (self.story, plan.clone());
        run(plan.options(self.limit), move |world| story(world, plan))
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    vec![
        broker::BROKER,
        broker::BROKER_CACHED,
        clients::CLIENTS,
        clients::CLIENTS_CACHED,
        compact::COMPACT,
        connect::CONNECT,
        echo::ECHO,
        full::FULL,
        groups::GROUPS,
        metadata::METADATA,
    ]
}

/// The scenario of this name.
pub fn find(name: &str) -> Option<Scenario> {
    all().into_iter().find(|s| s.name == name)
}
