//! Leaving the cluster before a clean stop, as a Kafka broker does: it says that it stops, its partitions lose their leader while they
//! are whole, and it is fenced. So whoever starts on the directory next, a Kafka too, finds no broker that may still be alive and has no
//! session to wait out (Kafka classes `BrokerLifecycleManager`, `ReplicationControlManager`).

use ottla_metadata::controller::{controlled_shutdown, fence_broker};

use crate::Node;
use crate::start::controller_config;

impl Node {
    /// Has the controller, this node itself, write down that this broker leaves. A log that can't take it now is no reason to go on:
    /// then the next start finds what a crash leaves.
    pub(crate) async fn leave(&self) {
        let config = controller_config(&self.broker(), self.cluster_id());
        let (id, epoch) = (self.node_id().0, self.broker_epoch());
        let asked = {
            let config = config.clone();
            self.controller.change(move |planner| {
                let records = controlled_shutdown(planner.image, &config, id, epoch)?;
                Ok((records, ()))
            })
        };
        let left = match asked.await {
            Ok(()) => {
                let fenced = self.controller.change(move |planner| {
                    let records = fence_broker(planner.image, &config, id)?;
                    Ok((records, ()))
                });
                fenced.await
            }
            error => error,
        };
        if let Err(error) = left {
            tracing::warn!(%error, "the stop could not be written to the metadata log: a Kafka that starts next waits for a session to expire");
        }
    }
}
