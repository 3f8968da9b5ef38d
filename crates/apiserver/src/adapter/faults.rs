//! What goes wrong between a program and the server, and when: a plan, so that the same plan goes wrong in the same way again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::ApiError;

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The server answers with an error; `Before`: it has done nothing, `After`: it has done what it was asked.
    Error(Moment),
    /// 409 Conflict, as if another had written first: the server has done nothing.
    Conflict,
    /// 504 after a minute.
    Timeout(Moment),
    /// The connection breaks.
    Broken(Moment),
    /// It arrives so much later.
    Delay(Duration),
    /// The program's process ends.
    Crash(Moment),
}

/// Before or after the server has done what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has not, and never will.
    Before,
    /// It has; the answer is lost.
    After,
}

/// What becomes of one event of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// It, and those after it, arrive so much later.
    Delay(Duration),
    /// The connection ends before it.
    Broken,
    /// The server has forgotten the version from which the watch should go on: an ERROR event with code 410, and the end.
    Expired,
}

/// What goes wrong for one program. Requests, and events of all of its watches together, are counted from 0 over all of its lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// By the number of the request.
    pub requests: BTreeMap<u64, RequestFault>,
    /// By the number of the event.
    pub events: BTreeMap<u64, WatchFault>,
}

impl RequestFault {
    /// Whether the server does what it was asked.
    pub(super) const fn is_executed(self) -> bool {
        match self {
            Self::Error(moment) | Self::Timeout(moment) | Self::Broken(moment) | Self::Crash(moment) => {
                matches!(moment, Moment::After)
            }
            Self::Conflict => false,
            Self::Delay(_) => true,
        }
    }

    /// How much later than otherwise the answer comes.
    pub(super) const fn delay(self) -> Duration {
        const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
        match self {
            Self::Delay(delay) => delay,
            Self::Timeout(_) => REQUEST_TIMEOUT,
            _ => Duration::ZERO,
        }
    }

    /// The error that comes in the place of the answer, if one comes.
    pub(super) fn error(self) -> Option<ApiError> {
        match self {
            Self::Error(_) => Some(ApiError::internal("etcdserver: request timed out")),
            Self::Timeout(_) => {
                Some(ApiError::timeout("request did not complete within requested timeout", 0))
            }
            _ => None,
        }
    }
}
