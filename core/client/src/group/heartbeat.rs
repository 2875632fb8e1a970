//! The member's background: heartbeats while it is in a generation, and leaving when its user does not poll any more
//! (`max.poll.interval.ms`), so that others get its partitions.

use std::sync::Arc;

use ottla_types::ErrorCode;
use ottla_wire::messages::leave_group_request::MemberIdentity;
use ottla_wire::messages::{HeartbeatRequest, HeartbeatResponse, LeaveGroupRequest, LeaveGroupResponse};

use super::membership::Identity;
use super::shared::{Shared, rest};
use crate::connections::Lane;
use crate::{Error, Result};

/// Runs as long as the member lives.
pub(super) async fn run(shared: Arc<Shared>) {
    let clock = shared.cluster.env().clock.clone();
    let interval = shared.config.heartbeat_interval;
    let mut beating = false;
    loop {
        let now = clock.now();
        let next = {
            let mut state = shared.state();
            if state.beats() && !beating {
                state.beat_at = now.after(interval);
            }
            beating = state.beats();
            let give_up = state.polled.after(shared.config.max_poll_interval);
            beating.then_some((state.beat_at, give_up, state.who.clone()))
        };
        match next {
            None => rest(clock.as_ref(), None, &shared.wake).await,
            Some((_, give_up, who)) if give_up <= now => give_out(&shared, &who).await,
            Some((beat_at, give_up, _)) if beat_at > now => {
                rest(clock.as_ref(), Some(beat_at.min(give_up)), &shared.wake).await;
            }
            Some((_, _, who)) => beat(&shared, &who).await,
        }
    }
}

async fn beat(shared: &Shared, who: &Identity) {
    let config = &shared.config;
    let sent = shared.cluster.now();
    let request = |_| HeartbeatRequest {
        group_id: &config.group_id,
        generation_id: who.generation,
        member_id: &who.member_id,
        group_instance_id: config.group_instance_id.as_deref(),
    };
    // Without an answer in that time the coordinator has given the member up anyway.
    let timeout = config.consumer.client.request_timeout.min(config.session_timeout);
    let called = shared
        .coordinator
        .call(Lane::Control, i16::MAX, timeout, request)
        .await;
    let code = called.and_then(|answer| Ok(answer.decode::<HeartbeatResponse>()?.error_code));
    let mut state = shared.state();
    let passed = match code {
        Ok(number) => {
            let code = ErrorCode::from_code(number).unwrap_or(ErrorCode::UnknownServerError);
            shared.coordinator.heard(code);
            let error = Error::broker(format!("stay in group `{}`", config.group_id), number, None);
            state.told(who, code, error.clone());
            let fine = matches!(code, ErrorCode::None | ErrorCode::RebalanceInProgress);
            state.trouble = (!fine && error.is_retriable()).then_some(error);
            fine
        }
        Err(error) => {
            state.trouble = Some(error);
            false
        }
    };
    state.beat_at = if passed {
        sent.after(config.heartbeat_interval)
    } else {
        shared.cluster.now().after(shared.cluster.backoff().pause(1))
    };
    drop(state);
    shared.changed.notify_one();
}

/// The user has not polled for too long. Its partitions are lost, as its next poll will hear.
async fn give_out(shared: &Shared, who: &Identity) {
    let reason = "the time between two polls was longer than max.poll.interval.ms";
    {
        let mut state = shared.state();
        let give_up = state.polled.after(shared.config.max_poll_interval);
        if state.who != *who || give_up > shared.cluster.now() {
            return;
        }
        state.reset(true, reason);
    }
    shared.changed.notify_one();
    // A static member is only given up when its session ends.
    if shared.config.group_instance_id.is_none() {
        let _ = leave(shared, who, reason).await;
    }
}

/// Tells the coordinator that the member has gone.
pub(super) async fn leave(shared: &Shared, who: &Identity, reason: &str) -> Result<()> {
    let config = &shared.config;
    let instance = config.group_instance_id.as_deref();
    let request = |version| LeaveGroupRequest {
        group_id: &config.group_id,
        member_id: if version < 3 { &who.member_id } else { "" },
        members: if version < 3 {
            Vec::new()
        } else {
            vec![MemberIdentity {
                member_id: &who.member_id,
                group_instance_id: instance,
                reason: Some(reason),
            }]
        },
    };
    let timeout = config.consumer.client.request_timeout;
    let answer = shared
        .coordinator
        .call(Lane::Control, i16::MAX, timeout, request)
        .await?;
    let response: LeaveGroupResponse<'_> = answer.decode()?;
    let of_member = response.members.first().map_or(0, |m| m.error_code);
    let code = if response.error_code != 0 {
        response.error_code
    } else {
        of_member
    };
    match code {
        0 => Ok(()),
        code => Err(Error::broker(
            format!("leave group `{}`", config.group_id),
            code,
            None,
        )),
    }
}
