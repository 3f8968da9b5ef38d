use super::*;

fn features(minor: u16) -> Features {
    Features::of(KubernetesVersion::from_minor(minor).expect("a known version"))
}

/// The versions in which a behaviour is there by default, as `first..=last`.
fn versions_with(test: impl Fn(&Features) -> bool) -> Vec<u16> {
    KubernetesVersion::all()
        .filter(|&version| test(&Features::of(version)))
        .map(KubernetesVersion::minor)
        .collect()
}

#[test]
fn defaults_change_in_the_versions_of_the_upstream_table() {
    type Row = (&'static str, fn(&Features) -> bool, std::ops::RangeInclusive<u16>);
    let rows: [Row; 16] = [
        ("elastic indexed job", |f| f.elastic_indexed_job, 28..=37),
        ("pod failure policy", |f| f.pod_failure_policy, 28..=37),
        ("status.ready", |f| f.status_ready, 28..=37),
        ("index label", |f| f.pod_index_label, 28..=37),
        ("backoff limit per index", |f| f.backoff_limit_per_index, 29..=37),
        ("status.terminating", |f| f.status_terminating, 29..=37),
        ("success policy", |f| f.success_policy, 31..=37),
        ("managed by", |f| f.managed_by, 32..=37),
        ("strict status", |f| f.strict_status_validation, 32..=37),
        ("delayed terminal condition", |f| f.delays_terminal_condition, 31..=37),
        ("reason CompletionsReached", |f| f.completions_reached_reason, 31..=37),
        ("active 0 in back-off", |f| f.active_zero_in_backoff, 28..=35),
        ("rejected active 0", |f| f.strict_status_validation && f.active_zero_in_backoff, 32..=35),
        ("finished but unseen", |f| f.skips_finished_unseen, 34..=37),
        ("start time cleared", |f| f.clears_start_time_on_suspend, 36..=37),
        ("read own writes", |f| f.read_own_writes, 36..=37),
    ];
    for (name, test, expected) in rows {
        assert_eq!(versions_with(test), expected.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_gate_switches_what_follows_from_it() {
    let mut of_1_31 = features(31);
    of_1_31.set_gate("JobManagedBy", true).expect("an alpha gate");
    assert!(of_1_31.strict_status_validation && of_1_31.active_zero_in_backoff);
    of_1_31.set_gate("JobManagedBy", false).expect("an alpha gate");
    of_1_31.set_gate("JobPodReplacementPolicy", false).expect("a beta gate");
    assert!(!of_1_31.delays_terminal_condition && !of_1_31.status_terminating);
    assert!(of_1_31.honours_success_criteria, "the success policy alone suffices");
}

#[test]
fn unknown_and_locked_gates_are_refused() {
    let unknown = |minor, name: &str| matches!(features(minor).set_gate(name, true), Err(GateError::Unknown { name: told, .. }) if told == name);
    assert!(unknown(36, "NoSuchGate"));
    assert!(unknown(29, "JobSuccessPolicy"), "not yet there");
    assert!(unknown(34, "ElasticIndexedJob"), "removed");
    let error = features(31).set_gate("ElasticIndexedJob", false).expect_err("locked");
    assert_eq!(error.to_string(), "feature gate `ElasticIndexedJob` is locked to true in Kubernetes 1.31");
    assert_eq!(features(31).set_gate("ElasticIndexedJob", true), Ok(()));
}

#[test]
fn every_version_lists_the_gates_it_knows() {
    for version in KubernetesVersion::all() {
        let mut all = Features::of(version);
        for (gate, stage, is_on) in Features::of(version).gates() {
            assert_eq!(is_on, stage.is_on_by_default(), "{} in {version}", gate.name());
            assert_eq!(all.set_gate(gate.name(), true), Ok(()));
        }
        assert!(all.gates().all(|(_, _, is_on)| is_on));
    }
    assert_eq!(features(28).gates().count(), 8);
}
