//! Tests of the sync, most of them tables of upstream's vectors under upstream's names.

use std::collections::BTreeSet;

use super::*;
use crate::server::{ApiError, PodDraft};
use crate::time::Time;
use crate::version::{Features, KubernetesVersion};

mod backoff;
mod build;
mod controller_cases;
mod controller_sync;
mod drive;
mod findings;
mod indexed;
mod on_failure;
mod policies;
mod policy_sync;
mod properties;
mod sequence;
mod track;
