//! The mistakes: what developers of operators have done before, one after another.

/// A mistake, as changes of the operator's sources.
pub(super) struct Mutant {
    /// What is wrong, in a sentence.
    pub(super) mistake: &'static str,
    /// The changes.
    pub(super) edits: &'static [Edit],
    /// Why nothing finds it; empty when something does.
    pub(super) escapes: &'static str,
}

impl Mutant {
    const fn escaping(self, escapes: &'static str) -> Self {
        Self { escapes, ..self }
    }
}

/// One change.
pub(super) struct Edit {
    /// The file, below `crates/operator/src`.
    pub(super) file: &'static str,
    /// A text that is there once; what stands between `⟦` and `⟧` is what changes: an expression, statements, or nothing at all.
    pub(super) place: &'static str,
    /// What stands there instead.
    pub(super) wrong: &'static str,
}

const fn mutant(mistake: &'static str, edits: &'static [Edit]) -> Mutant {
    Mutant { mistake, edits, escapes: "" }
}

const fn edit(file: &'static str, place: &'static str, wrong: &'static str) -> Edit {
    Edit { file, place, wrong }
}

/// What is applied to give a Job another size.
const RESIZE: &str = "let resize = ⟦objects::resize(&name, uid, version, *to)⟧;";
/// Before that.
const BEFORE_RESIZE: &str = "info!(%namespace, %name, from, to, \"resizing the Job\");⟦⟧";

/// All of them; the first is number 1.
pub(super) const MUTANTS: &[Mutant] = &[
    // ---- calls ----
    mutant(
        "a conflict when the Job is resized is taken for success",
        &[edit(
            "execute.rs",
            "Err(failure) if is_conflict(&failure.source) => ⟦return Ok(Outcome::Conflict)⟧,\n                    made",
            "return Ok(Outcome::Done)",
        )],
    ),
    mutant(
        "after a conflict nobody looks again",
        &[edit(
            "reconcile.rs",
            "Outcome::Conflict => return Ok(⟦Action::requeue(STALE_RETRY)⟧),",
            "Action::await_change()",
        )],
    ),
    mutant(
        "a Job that cannot be resized is deleted, to be made anew",
        &[edit(
            "execute.rs",
            "made => ⟦made?⟧,",
            "match made {
                Err(failure) => {
                    let jobs: Api<Job> = Api::namespaced(self.client.clone(), &namespace);
                    let _ = jobs.delete(&name, &DeleteParams::background()).await;
                    return Err(failure);
                }
                Ok(made) => made,
            }",
        )],
    ),
    mutant(
        "a Job is resized by deleting it and making another",
        &[edit(
            "execute.rs",
            BEFORE_RESIZE,
            "let jobs: Api<Job> = Api::namespaced(self.client.clone(), &namespace);
            jobs.delete(&name, &DeleteParams::background())
                .await
                .map_err(Failure::of(\"delete Job\"))?;
            return Ok(Outcome::Done);",
        )],
    ),
    mutant(
        "surplus pods are deleted by the operator, the oldest first",
        &[edit(
            "execute.rs",
            BEFORE_RESIZE,
            "let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            for index in 0..(from - to).max(0) {
                let selector = format!(\"{}={name},{}={index}\", objects::NAME_LABEL, objects::INDEX_LABEL);
                let one = pods.list(&kube::api::ListParams::default().labels(&selector)).await;
                for pod in one.map_err(Failure::of(\"list pods\"))? {
                    let _ = pods.delete(&pod.name_any(), &DeleteParams::default()).await;
                }
            }",
        )],
    ),
    mutant(
        "only parallelism is resized",
        &[edit(
            "execute.rs",
            RESIZE,
            "{
                let mut body = objects::resize(&name, uid, version, *to);
                body[\"spec\"] = json!({ \"parallelism\": to });
                body
            }",
        )],
    ),
    mutant(
        "only completions are resized",
        &[edit(
            "execute.rs",
            RESIZE,
            "{
                let mut body = objects::resize(&name, uid, version, *to);
                body[\"spec\"] = json!({ \"completions\": to });
                body
            }",
        )],
    ),
    mutant(
        "a resize names the Job, and not the version of it that was looked at",
        &[edit(
            "execute.rs",
            RESIZE,
            "{
                let mut body = objects::resize(&name, uid, version, *to);
                body[\"metadata\"] = json!({ \"name\": name, \"uid\": uid });
                body
            }",
        )],
    )
    .escaping(
        "a process plans a resize only when the one before it was answered, so that an old resize undoes a newer one only if the process that sent it \
         has ended, the resize is held up, and the next process resizes meanwhile: more at a time than these plans do",
    ),
    mutant(
        "a resize does not say of which Job of the name",
        &[edit(
            "execute.rs",
            RESIZE,
            "{
                let mut body = objects::resize(&name, uid, version, *to);
                body[\"metadata\"] = json!({ \"name\": name });
                body
            }",
        )],
    )
    .escaping(
        "the same, and the next process has made another Job of the name meanwhile",
    ),
    mutant(
        "a status names the MiniCluster, and not the version of it that was looked at",
        &[edit(
            "execute.rs",
            "\"resourceVersion\": ⟦cluster.resource_version()⟧ },\n            \"status\"",
            "None::<String>",
        )],
    )
    .escaping(
        "the same of a status: the process that sent it has ended, it is held up, and the next process has told something newer meanwhile",
    ),
    mutant(
        "a status does not say of which MiniCluster of the name",
        &[
            edit("execute.rs", "\"uid\": ⟦cluster.uid()⟧, \"resourceVersion\"", "None::<String>"),
            edit(
                "execute.rs",
                "\"resourceVersion\": ⟦cluster.resource_version()⟧ },\n            \"status\"",
                "None::<String>",
            ),
        ],
    ),
    mutant(
        "a resize goes by way of one pod",
        &[edit(
            "execute.rs",
            RESIZE,
            "{
                let mut body = objects::resize(&name, uid, version, 1);
                let _: Job = self.apply(&namespace, &name, &body).await?;
                body = objects::resize(&name, uid, version, *to);
                body[\"metadata\"] = json!({ \"name\": name });
                body
            }",
        )],
    ),
    mutant(
        "changes are applied without force: fields that somebody else has written cannot be taken back",
        &[edit(
            "execute.rs",
            "api.patch(name, &⟦PatchParams::apply(MANAGER).force()⟧, &Patch::Apply(body))",
            "PatchParams::apply(MANAGER)",
        )],
    ),
    mutant(
        "an object of the same name is taken over, whosever it is",
        &[edit(
            "execute.rs",
            "match ⟦api.create(&parameters, object).await⟧ {",
            "api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await",
        )],
    ),
    mutant(
        "an object of the same name is as good as one that was made",
        &[edit(
            "execute.rs",
            "Err(error) if is_already_there(&error) => {⟦⟧\n                let there",
            "return Ok(Outcome::Done);",
        )],
    ),
    mutant(
        "a reconcile that failed is not tried again",
        &[edit("reconcile.rs", "⟦Action::requeue(wait)⟧", "Action::await_change()")],
    ),
    mutant(
        "a reconcile that failed is tried again once",
        &[edit(
            "reconcile.rs",
            "⟦Action::requeue(wait)⟧",
            "if *failures > 1 { Action::await_change() } else { Action::requeue(wait) }",
        )],
    ),
    mutant(
        "a name that another has is not tried again",
        &[edit(
            "plan/mod.rs",
            "Some(Problem::Taken(_) | Problem::Former) => ⟦plan.requeue = Some(TAKEN_RETRY)⟧,",
            "()",
        )],
    ),
    mutant(
        "every pod of the namespace without the label job-index gets it",
        &[edit(
            "execute.rs",
            "// A crash after this tells it twice, which is better than not at all.\n        ⟦⟧for note",
            "{
                let namespace = cluster.namespace().unwrap_or_default();
                let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
                let all = pods.list(&kube::api::ListParams::default()).await;
                for pod in all.map_err(Failure::of(\"list pods\"))? {
                    if !pod.labels().contains_key(\"job-index\") {
                        let patch = json!({ \"metadata\": { \"labels\": { \"job-index\": \"1\" } } });
                        let parameters = PatchParams::default();
                        let _ = pods.patch(&pod.name_any(), &parameters, &Patch::Merge(&patch)).await;
                    }
                }
            }",
        )],
    ),
    mutant(
        "ConfigMaps with the operator's label that have no owner are cleaned up",
        &[edit(
            "execute.rs",
            "// A crash after this tells it twice, which is better than not at all.\n        ⟦⟧for note",
            "{
                let namespace = cluster.namespace().unwrap_or_default();
                let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &namespace);
                let selector = format!(\"{}={}\", objects::MANAGED_BY.0, objects::MANAGED_BY.1);
                let all = config_maps.list(&kube::api::ListParams::default().labels(&selector)).await;
                for one in all.map_err(Failure::of(\"list ConfigMaps\"))? {
                    if one.owner_references().is_empty() {
                        let _ = config_maps.delete(&one.name_any(), &DeleteParams::default()).await;
                    }
                }
            }",
        )],
    ),
    mutant(
        "the certificate is made anew with each resize",
        &[edit(
            "execute.rs",
            BEFORE_RESIZE,
            "let fresh = format!(\"# {}\\n\", (self.settings.now)());
            let object = objects::secret(cluster, fresh);
            let _: Secret = self.apply(&namespace, &object.name_any(), &object).await?;",
        )],
    ),
    mutant(
        "the Secret is deleted with each resize, to be made anew",
        &[
            edit(
                "execute.rs",
                BEFORE_RESIZE,
                "let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
                let _ = secrets.delete(&objects::secret_name(&name), &DeleteParams::default()).await;",
            ),
            edit(
                "execute.rs",
                "let object = objects::secret(cluster, ⟦certificate⟧);",
                "format!(\"{certificate}# {}\\n\", (self.settings.now)())",
            ),
        ],
    ),
    mutant(
        "the status is written before what it tells of",
        &[edit(
            "execute.rs",
            "let cluster = &observed.cluster;⟦⟧\n        let (status, objects)",
            "for write in &plan.writes {
                if let Write::Status(status) = write {
                    self.status(cluster, status).await?;
                }
            }",
        )],
    ),
    // ---- what is seen ----
    mutant(
        "what belongs to an earlier MiniCluster of the same name counts as its own",
        &[edit(
            "observe.rs",
            "Some((_, uid)) if ⟦Some(uid) == cluster.metadata.uid.as_ref()⟧ =>",
            "{
                let _ = uid;
                true
            }",
        )],
    ),
    mutant(
        "what belongs to an earlier MiniCluster of the same name is called somebody else's",
        &[edit(
            "observe.rs",
            "Some((name, _)) if *name == cluster.name_any() => ⟦Found::Former⟧,",
            "Found::Foreign",
        )],
    ),
    mutant(
        "a pod that runs counts as online",
        &[edit(
            "observe.rs",
            "is_online: ⟦containers.any(|container| Some(&container.name) == main && container.ready)⟧,",
            "{
                let _ = (&mut containers, main);
                status.and_then(|status| status.phase.as_deref()) == Some(\"Running\")
            }",
        )],
    ),
    mutant(
        "the index of a pod is one too many",
        &[edit(
            "observe.rs",
            "index: ⟦index.and_then(|index| index.parse().ok()).unwrap_or(-1)⟧,",
            "index.and_then(|index| index.parse::<i32>().ok()).map_or(-1, |index| index + 1)",
        )],
    ),
    mutant(
        "the operator acts before its caches are filled",
        &[edit(
            "reconcile.rs",
            "if ⟦tokio::time::timeout(SYNC_PATIENCE, self.caches.synced()).await.is_err()⟧ {",
            "false",
        )],
    ),
    mutant(
        "what is deleted stays in the caches",
        &[edit(
            "cache.rs",
            "⟦known.filter(|known| rows.remove(known).is_some()).into_iter().collect()⟧\n            }\n            Event::InitDone",
            "known.into_iter().collect()",
        )],
    ),
    mutant(
        "what went while a watch was broken stays in the caches",
        &[edit(
            "cache.rs",
            "rows.rows.keys().filter(|key| ⟦!listed.contains(*key)⟧)",
            "{
                    let _ = (key, &listed);
                    false
                }",
        )],
    ),
    mutant(
        "changes of pods wake nobody",
        &[edit(
            "reconcile.rs",
            "|key, _| ⟦Some(cluster_of_pod(&key.0))⟧,",
            "{
                    let _ = key;
                    None
                }",
        )],
    ),
    mutant(
        "a MiniCluster is looked at only when its spec has changed since",
        &[edit(
            "plan/mod.rs",
            "if ⟦cluster.metadata.deletion_timestamp.is_some()⟧ {",
            "cluster.metadata.deletion_timestamp.is_some()
                || cluster.status.as_ref().is_some_and(|status| {
                    status.observed_generation == cluster.metadata.generation
                })",
        )],
    ),
    // ---- decisions ----
    mutant(
        "the maximum follows the spec",
        &[edit(
            "plan/mod.rs",
            "⟦kept.unwrap_or_else(|| Created::of(&observed.cluster.spec))⟧",
            "{
                let _ = kept;
                Created::of(&observed.cluster.spec)
            }",
        )],
    ),
    mutant(
        "a size above the maximum is carried out",
        &[edit("plan/mod.rs", "if ⟦spec.size > created.maximum⟧ {", "false")],
    ),
    mutant(
        "a MiniCluster is never made smaller",
        &[edit(
            "plan/mod.rs",
            "plan.writes.push(Write::Resize { uid, version, from, to: ⟦size⟧ });",
            "size.max(from)",
        )],
    ),
    mutant(
        "a MiniCluster grows to its maximum at once",
        &[edit(
            "plan/mod.rs",
            "plan.writes.push(Write::Resize { uid, version, from, to: ⟦size⟧ });",
            "if size > from { created.maximum } else { size }",
        )],
    ),
    mutant(
        "a MiniCluster that is made smaller goes back to its first size",
        &[edit(
            "plan/mod.rs",
            "(None, _) => ⟦cluster.spec.size⟧,",
            "if job.is_some_and(|job| size_of(job) > cluster.spec.size) {
                created.size
            } else {
                cluster.spec.size
            }",
        )],
    ),
    mutant(
        "the size of a Job that has finished is changed",
        &[edit(
            "plan/mod.rs",
            "⟦(is_decided(job) && has != spec.size).then_some(Problem::Finished { size: spec.size, has })⟧",
            "{
                let _ = has;
                None
            }",
        )],
    ),
    mutant(
        "any worker that has completed is the end of a MiniCluster with cleanup",
        &[edit("plan/mod.rs", "⟦pod.index == 0⟧ && pod.phase == \"Succeeded\"", "true")],
    ),
    mutant(
        "the ConfigMap is never brought up to date",
        &[edit("plan/mod.rs", "Some(has) if ⟦!holds(has, &config_map)⟧ =>", "false")],
    ),
    // ---- objects ----
    mutant(
        "objects have no owner",
        &[edit("objects/mod.rs", "owner_references: ⟦Some(vec![owner(cluster)])⟧,", "None")],
    ),
    mutant(
        "the list of hosts ends with the size at the creation",
        &[edit(
            "objects/hosts.rs",
            "if lead.address.is_empty() {\n        hosts.push(range(name, 0, ⟦created.maximum⟧));",
            "created.size",
        )],
    ),
    mutant(
        "the list of hosts has one too many",
        &[edit(
            "objects/hosts.rs",
            "if lead.address.is_empty() {\n        hosts.push(range(name, 0, ⟦created.maximum⟧));",
            "created.maximum + 1",
        )],
    ),
    mutant(
        "the headless service selects a label that no pod has",
        &[edit(
            "objects/services.rs",
            "selector: ⟦Some(labels(&[(NAME_LABEL, &name)]))⟧,",
            "Some(labels(&[(\"app\", &name)]))",
        )],
    ),
    // ---- the status ----
    mutant(
        "`status.size` is what is wanted",
        &[edit("plan/status.rs", "(None, Some(job)) => ⟦size_of(job)⟧,", "cluster.spec.size")],
    ),
    mutant(
        "`status.ready` is what is wanted",
        &[edit(
            "plan/status.rs",
            "ready: ⟦counts.and_then(|status| status.ready).unwrap_or_default()⟧,",
            "cluster.spec.size",
        )],
    ),
    mutant(
        "`status.completedIndexes` is not written",
        &[edit(
            "plan/status.rs",
            "let completed_indexes = ⟦counts.and_then(|status| status.completed_indexes.clone()).unwrap_or_default()⟧;",
            "String::new()",
        )],
    ),
    mutant(
        "completed indexes are still waited for",
        &[edit(
            "plan/status.rs",
            "let wanted = ⟦(size - count_below(&new.completed_indexes, size)).max(0)⟧;",
            "size",
        )],
    ),
    mutant(
        "`observedGeneration` is written once",
        &[edit(
            "plan/status.rs",
            "observed_generation: ⟦cluster.metadata.generation⟧,",
            "old.observed_generation.or(cluster.metadata.generation)",
        )],
    ),
    mutant(
        "`observedGeneration` counts the write that tells it",
        &[edit(
            "plan/status.rs",
            "observed_generation: ⟦cluster.metadata.generation⟧,",
            "cluster.metadata.generation.map(|generation| generation + 1)",
        )],
    ),
    mutant(
        "Ready is true as soon as there is a Job",
        &[edit("plan/status.rs", "let is_ready = ⟦new.online >= wanted⟧;", "true")],
    ),
    mutant(
        "a warning that was true once stays true",
        &[edit(
            "plan/status.rs",
            "let status = ⟦if is_true { \"True\" } else { \"False\" }⟧;",
            "if is_true
                || (matches!(type_, DEGRADED | SCALING_LIMITED)
                    && old.condition(type_).is_some_and(Condition::is_true))
            {
                \"True\"
            } else {
                \"False\"
            }",
        )],
    ),
    mutant(
        "a size that cannot be had is kept quiet",
        &[edit("plan/status.rs", "let limited = ⟦limited(problem)⟧;", "limited(None)")],
    ),
    mutant(
        "a Job that has failed is as good as one that is complete",
        &[edit(
            "plan/status.rs",
            "(_, Some((\"Failed\", message))) => ⟦Said(true, \"JobFailed\", message.to_owned())⟧,",
            "{
                let _ = message;
                Said(false, \"AsWanted\", String::new())
            }",
        )],
    ),
    mutant(
        "the time of a condition is that of the last look",
        &[edit(
            "plan/status.rs",
            "last_transition_time: ⟦since.unwrap_or_else(|| Time(whole_seconds(observed)))⟧,",
            "{
                let _ = since;
                Time(whole_seconds(observed))
            }",
        )],
    )
    .escaping("at rest nothing is looked at, so that it is soon quiet; no rule of the audit compares the times of conditions"),
    // ---- leading ----
    mutant(
        "the Lease is taken from whoever holds it",
        &[edit("lease.rs", "if ⟦self.is_held_by_another(&lease, seen)⟧ {", "false")],
    ),
    mutant(
        "the answer that another holds the Lease is taken for the Lease",
        &[edit("lease.rs", "Ok(true) => return,\n                Ok(false) => ⟦{}⟧", "return")],
    ),
];
