//! Which taints a pod bears, and for how long (`corev1` helpers, plus the admission plugin DefaultTolerationSeconds).

use std::time::Duration;

use super::timing::DEFAULT_TOLERATION;
use crate::objects::{NOT_READY_TAINT, PodSpec, Taint, TaintEffect, Toleration, UNREACHABLE_TAINT};

/// How long a pod bears what is on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Some taint is not borne at all.
    None,
    /// Until this time after the taint was seen.
    For(Duration),
    /// For good.
    Endless,
}

fn tolerates(toleration: &Toleration, key: &str, value: &str, effect: TaintEffect) -> bool {
    toleration.effect.is_none_or(|wanted| wanted == effect)
        && toleration.key.as_deref().is_none_or(|wanted| wanted == key)
        && toleration.value.as_deref().is_none_or(|wanted| wanted == value)
}

fn bears(spec: &PodSpec, key: &str, value: &str, effect: TaintEffect) -> bool {
    spec.tolerations.iter().any(|toleration| tolerates(toleration, key, value, effect))
}

/// Whether a node with these taints takes the pod. What keeps running pods away keeps new ones away too.
pub(super) fn admits(spec: &PodSpec, taints: &[Taint]) -> bool {
    taints
        .iter()
        .filter(|taint| taint.effect != TaintEffect::PreferNoSchedule)
        .all(|taint| bears(spec, &taint.key, &taint.value, taint.effect) || is_defaulted(spec, taint))
}

/// Whether the pod would rather run elsewhere.
pub(super) fn prefers_elsewhere(spec: &PodSpec, taints: &[Taint]) -> bool {
    taints
        .iter()
        .filter(|taint| taint.effect == TaintEffect::PreferNoSchedule)
        .any(|taint| !bears(spec, &taint.key, &taint.value, taint.effect))
}

/// Whether the pod bears this taint only by the default toleration that admission gives to every pod without one of
/// its own.
fn is_defaulted(spec: &PodSpec, taint: &Taint) -> bool {
    taint.effect == TaintEffect::NoExecute
        && matches!(&*taint.key, NOT_READY_TAINT | UNREACHABLE_TAINT)
        && !bears(spec, &taint.key, &taint.value, TaintEffect::NoExecute)
}

/// How long a running pod bears the NoExecute taints of its node: the shortest of the tolerations that it makes use of.
pub(super) fn patience(spec: &PodSpec, taints: &[Taint]) -> Patience {
    let mut shortest: Option<Duration> = None;
    for taint in taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute) {
        let matching: Vec<&Toleration> = spec
            .tolerations
            .iter()
            .filter(|toleration| tolerates(toleration, &taint.key, &taint.value, TaintEffect::NoExecute))
            .collect();
        let limits: Vec<Duration> = if !matching.is_empty() {
            matching.iter().filter_map(|toleration| toleration.toleration_seconds).map(seconds).collect()
        } else if is_defaulted(spec, taint) {
            vec![DEFAULT_TOLERATION]
        } else {
            return Patience::None;
        };
        shortest = shortest.into_iter().chain(limits).min();
    }
    shortest.map_or(Patience::Endless, Patience::For)
}

/// Negative times mean at once.
fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{OUT_OF_SERVICE_TAINT, RestartPolicy};
    use crate::time::Time;

    fn spec(tolerations: Vec<Toleration>) -> PodSpec {
        PodSpec { restart_policy: RestartPolicy::Never, tolerations, ..PodSpec::default() }
    }

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect, time_added: Time::ZERO }
    }

    fn toleration(key: Option<&str>, value: Option<&str>, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: key.map(Into::into),
            value: value.map(Into::into),
            effect: None,
            toleration_seconds: seconds,
        }
    }

    #[test]
    fn patience_is_the_shortest_toleration_in_use() {
        let no_execute = |key: &str| taint(key, "", TaintEffect::NoExecute);
        let secs = |s| Patience::For(Duration::from_secs(s));
        let cases = [
            (vec![], vec![], Patience::Endless),
            (vec![], vec![no_execute(UNREACHABLE_TAINT)], secs(300)),
            (vec![], vec![no_execute(NOT_READY_TAINT)], secs(300)),
            (vec![], vec![no_execute(OUT_OF_SERVICE_TAINT)], Patience::None),
            (vec![], vec![no_execute(UNREACHABLE_TAINT), no_execute(OUT_OF_SERVICE_TAINT)], Patience::None),
            (vec![toleration(None, None, None)], vec![no_execute(OUT_OF_SERVICE_TAINT)], Patience::Endless),
            (
                vec![toleration(Some(UNREACHABLE_TAINT), None, Some(5))],
                vec![no_execute(UNREACHABLE_TAINT)],
                secs(5),
            ),
            (
                vec![toleration(Some("a"), None, Some(9)), toleration(Some("b"), None, Some(-1))],
                vec![no_execute("a"), no_execute("b")],
                secs(0),
            ),
            (vec![], vec![taint("a", "", TaintEffect::NoSchedule)], Patience::Endless),
        ];
        for (tolerations, taints, expected) in cases {
            assert_eq!(patience(&spec(tolerations), &taints), expected, "{taints:?}");
        }
    }

    #[test]
    fn nodes_admit_whom_their_taints_let_pass() {
        let gpu = |effect| vec![taint("gpu", "a100", effect)];
        let plain = spec(vec![]);
        assert!(!admits(&plain, &gpu(TaintEffect::NoSchedule)));
        assert!(!admits(&plain, &gpu(TaintEffect::NoExecute)));
        assert!(admits(&plain, &gpu(TaintEffect::PreferNoSchedule)));
        assert!(prefers_elsewhere(&plain, &gpu(TaintEffect::PreferNoSchedule)));
        assert!(admits(
            &spec(vec![toleration(Some("gpu"), Some("a100"), None)]),
            &gpu(TaintEffect::NoSchedule)
        ));
        assert!(!admits(
            &spec(vec![toleration(Some("gpu"), Some("h100"), None)]),
            &gpu(TaintEffect::NoSchedule)
        ));
    }
}
