//! Where a group's coordinator is, and asking it. A failed call or an answer that it is elsewhere makes it unknown; the next
//! call looks it up again. When to try again is the callers'.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla_types::ErrorCode;
use ottla_wire::Request;
use ottla_wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use crate::connections::{Address, Lane};
use crate::metadata::{Answer, Cluster};
use crate::{Error, Result};

/// The coordinator of one group. Clones share what is known.
#[derive(Clone)]
pub(crate) struct Coordinator {
    pub(crate) cluster: Cluster,
    pub(crate) group: Arc<str>,
    known: Arc<Mutex<Option<Address>>>,
}

impl Coordinator {
    pub(crate) fn new(cluster: &Cluster, group: &str) -> Self {
        Coordinator {
            cluster: cluster.clone(),
            group: Arc::from(group),
            known: Arc::default(),
        }
    }

    /// Makes the coordinator unknown.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What an answer says about who coordinates.
    pub(crate) fn heard(&self, code: ErrorCode) {
        if matches!(
            code,
            ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable | ErrorCode::RequestTimedOut
        ) {
            self.forget();
        }
    }

    /// One attempt of one request.
    pub(crate) async fn call<'a, R: Request<'a>>(
        &self,
        lane: Lane,
        cap: i16,
        timeout: Duration,
        build: impl FnOnce(i16) -> R,
    ) -> Result<Answer> {
        let address = self.address().await?;
        let result = self
            .cluster
            .request_at(Some(&address), lane, cap, timeout, build)
            .await;
        if result.is_err() {
            self.forget();
        }
        result
    }

    async fn address(&self) -> Result<Address> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = self.find().await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    async fn find(&self) -> Result<Address> {
        let group = self.group.as_ref();
        let request = |version| FindCoordinatorRequest {
            key: if version < 4 { group } else { "" },
            coordinator_keys: if version < 4 { Vec::new() } else { vec![group] },
            ..Default::default()
        };
        let timeout = self.cluster.config().request_timeout;
        let answer = self
            .cluster
            .request_at(None, Lane::Control, i16::MAX, timeout, request)
            .await?;
        let response: FindCoordinatorResponse<'_> = answer.decode()?;
        let (code, message, host, port) = match response.coordinators.first() {
            Some(c) => (c.error_code, c.error_message, c.host, c.port),
            None => (
                response.error_code,
                response.error_message,
                response.host,
                response.port,
            ),
        };
        let what = || format!("find the coordinator of group `{group}`");
        if code != 0 {
            return Err(Error::broker(what(), code, message));
        }
        match u16::try_from(port) {
            Ok(port) if port > 0 && !host.is_empty() => Ok((host.to_owned(), port)),
            _ => Err(Error::broker(
                what(),
                ErrorCode::CoordinatorNotAvailable.code(),
                None,
            )),
        }
    }
}
