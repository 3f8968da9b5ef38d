//! `expect`: when, and what must be seen.

use std::ops::Range;

use super::Source;
use super::scope::Scope;
use crate::ast::{
    Action, Claim, Clause, Expectation, FluxVersion, JobClaim, RefusedClaim, Release, Spanned, Table,
    TableCommand, VersionRange, When,
};
use crate::error::{Problem, ScenarioError, suggest};
use crate::yaml::de::Verbatim;
use crate::{cel, raw, text};

/// Types of Job conditions.
const CONDITIONS: &[&str] = &["Suspended", "Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"];

/// Reads the expectations of a step with this action.
pub(super) fn expectations(
    file: &Source<'_>,
    scope: &Scope,
    versions: VersionRange,
    flux: VersionRange<FluxVersion>,
    action: &Action,
    expectations: Vec<Spanned<raw::Expectation>>,
) -> Result<Vec<Expectation>, ScenarioError> {
    let reader = Reader { file, scope, versions, flux, action };
    expectations.into_iter().map(|expectation| reader.read(expectation)).collect()
}

struct Reader<'a> {
    file: &'a Source<'a>,
    scope: &'a Scope,
    versions: VersionRange,
    flux: VersionRange<FluxVersion>,
    action: &'a Action,
}

impl Reader<'_> {
    fn read(&self, expectation: Spanned<raw::Expectation>) -> Result<Expectation, ScenarioError> {
        let Spanned { value: mut raw, span } = expectation;
        let versions = raw.kubernetes.take().map(|it| self.versions(&it, self.versions)).transpose()?;
        let flux = raw.flux.take().map(|it| self.flux_versions(&it)).transpose()?;
        let (when, mut clauses) = self.when(&mut raw)?;
        let is_condition_only = matches!(when.value, When::Never | When::Before);
        let first = clauses.len();
        self.tables(&mut raw, &mut clauses)?;
        if let Some(job) = raw.job.take() {
            clauses.push(self.job(job)?);
        }
        if let Some(that) = raw.that.take() {
            clauses.push(self.condition(that)?);
        }
        if let Some(refused) = raw.refused.take() {
            clauses.push(self.refused(refused, &when)?);
        }
        if is_condition_only && let Some(extra) = clauses.get(first) {
            let word = if matches!(when.value, When::Never) { "never" } else { "before" };
            let problem = Problem::Invalid(format!("`{word}` stands alone"));
            return Err(self
                .file
                .error(extra.span.clone(), problem, "a claim beside it")
                .with_help("make it an expectation of its own"));
        }
        if clauses.is_empty() {
            let problem = Problem::Invalid("the expectation claims nothing".to_owned());
            return Err(self.file.error(when.span, problem, "when, but not what").with_help(
                "add `kubectl get pods: |` with a table, `job: {…}`, `that: …` or `refused: {…}`",
            ));
        }
        Ok(Expectation { span, versions, flux, when: when.value, clauses })
    }

    fn flux_versions(&self, written: &Spanned<Verbatim>) -> Result<VersionRange<FluxVersion>, ScenarioError> {
        if self.scope.has_miniclusters() {
            return self.versions(written, self.flux);
        }
        let problem = Problem::Invalid("the expectation would never be looked at".to_owned());
        Err(self
            .file
            .error(written.span.clone(), problem, "no step applies a MiniCluster")
            .with_help("remove it"))
    }

    /// Versions that the expectation speaks of, some of which must be the scenario's.
    fn versions<V: Release>(
        &self,
        written: &Spanned<Verbatim>,
        whole: VersionRange<V>,
    ) -> Result<VersionRange<V>, ScenarioError> {
        let range = self.file.read(written, text::versions)?;
        if range.overlaps(&whole) {
            return Ok(range);
        }
        let problem = Problem::Invalid("the expectation would never be looked at".to_owned());
        Err(self
            .file
            .error(written.span.clone(), problem, "none of the scenario's versions")
            .with_help(format!("the scenario is about {whole}")))
    }

    /// The word on time, and the conditions that stand within it.
    fn when(&self, raw: &mut raw::Expectation) -> Result<(Spanned<When>, Vec<Clause>), ScenarioError> {
        let mut found: Vec<(&str, Spanned<When>)> = Vec::new();
        let mut clauses = Vec::new();
        if let Some(within) = raw.within.take() {
            let length = self.file.read(&within, text::duration)?;
            found.push(("within", Spanned { value: When::Within(length), span: within.span }));
        }
        if let Some(at) = raw.at.take() {
            let length = self.file.read(&at, text::duration)?;
            found.push(("at", Spanned { value: When::At(length), span: at.span }));
        }
        if let Some(Spanned { value: holds, span }) = raw.holds.take() {
            let length = self.file.read(&holds.length, text::duration)?;
            found.push(("holds", Spanned { value: When::Holds(length), span }));
            if let Some(that) = holds.that {
                clauses.push(self.condition(that)?);
            }
        }
        if let Some(never) = raw.never.take() {
            found.push(("never", Spanned { value: When::Never, span: never.span.clone() }));
            clauses.push(self.condition(never)?);
        }
        if let Some(Spanned { value: before, span }) = raw.before.take() {
            found.push(("before", Spanned { value: When::Before, span }));
            clauses.push(self.condition(before.first)?);
            clauses.push(self.condition(before.then)?);
        }
        found.sort_by_key(|(_, when)| when.span.start);
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => Ok((Spanned { value: When::Now, span: 0..0 }, clauses)),
            (Some((_, when)), None) => Ok((when, clauses)),
            (Some((first, _)), Some((second, when))) => {
                let problem =
                    Problem::Invalid(format!("an expectation has one time, not `{first}` and `{second}`"));
                Err(self
                    .file
                    .error(when.span, problem, "a second word on time")
                    .with_help("make two expectations"))
            }
        }
    }

    fn tables(&self, raw: &mut raw::Expectation, clauses: &mut Vec<Clause>) -> Result<(), ScenarioError> {
        let tables = [
            (TableCommand::Pods, raw.pods.take()),
            (TableCommand::Jobs, raw.jobs.take()),
            (TableCommand::Nodes, raw.nodes.take()),
            (TableCommand::Events, raw.events.take()),
            (TableCommand::FluxResourceList, raw.flux_resource_list.take()),
            (TableCommand::FluxResourceStatus, raw.flux_resource_status.take()),
            (TableCommand::FluxResourceDrain, raw.flux_resource_drain.take()),
            (TableCommand::FluxJobs, raw.flux_jobs.take()),
            (TableCommand::FluxOverlayStatus, raw.flux_overlay_status.take()),
            (TableCommand::FluxHostlist, raw.flux_hostlist.take()),
        ];
        let named = raw.minicluster.take();
        if let Some(name) = &named {
            self.scope.minicluster(self.file, name, usize::MAX)?;
            if !tables.iter().any(|(command, table)| command.is_of_flux() && table.is_some()) {
                let problem = Problem::Invalid("`minicluster` says whose Flux prints a table".to_owned());
                let help = "add `flux resource list: |` with a table";
                return Err(self.file.error(name.span.clone(), problem, "no table of Flux").with_help(help));
            }
        }
        for (command, table) in tables {
            if let Some(Spanned { value: text, span }) = table {
                let mut table = self.table(command, &text, &span)?;
                table.minicluster = match (command.is_of_flux(), &named) {
                    (false, _) => None,
                    (true, Some(name)) => Some(name.value.clone()),
                    (true, None) => Some(self.scope.only_minicluster(self.file, &span)?.to_owned()),
                };
                clauses.push(Clause { span, claim: Claim::Table(table) });
            }
        }
        Ok(())
    }

    fn table(&self, command: TableCommand, text: &str, span: &Range<usize>) -> Result<Table, ScenarioError> {
        let mut table = Table::parse(command, text).map_err(|error| {
            let place = self.file.within(span, text, &error.span);
            self.file.error(place, error.problem, "here").with_help(error.help)
        })?;
        let name = table.column("NAME");
        for row in &mut table.rows {
            row.span = self.file.within(span, text, &row.span);
            let Some(cell) = name.and_then(|name| row.cells.get(name)) else { continue };
            let check = match command {
                TableCommand::Pods => self.scope.check_pod_name(cell),
                TableCommand::Jobs => self.scope.check_job_name(cell),
                TableCommand::Nodes if !self.scope.has_node(cell) => {
                    Err((Problem::NoSuch { what: "node", name: cell.clone() }, self.scope.nodes_in_words()))
                }
                _ => Ok(()),
            };
            check.map_err(|(problem, help)| {
                self.file.error(row.span.clone(), problem, "this row can never be seen").with_help(help)
            })?;
        }
        Ok(table)
    }

    fn condition(&self, written: Spanned<Verbatim>) -> Result<Clause, ScenarioError> {
        let Spanned { value: Verbatim(text), span } = written;
        let known = cel::Known {
            only_job: self.scope.only_job().is_some(),
            only_minicluster: self.scope.has_one_minicluster(),
        };
        match cel::compile(&text, known) {
            Ok(expression) => Ok(Clause { span, claim: Claim::Cel(expression) }),
            Err(error) => {
                let place = self.file.within(&span, &text, &error.span);
                Err(self.file.error(place, error.problem, "here").with_help(error.help))
            }
        }
    }

    fn refused(&self, refused: Spanned<raw::Refused>, when: &Spanned<When>) -> Result<Clause, ScenarioError> {
        let span = refused.span;
        let problem = match (self.action, &when.value) {
            (Action::Observe | Action::Wait(_), _) => "the step does nothing that could be refused",
            (_, When::Now) => {
                let raw::Refused { field, kind, message } = refused.value;
                return Ok(Clause { span, claim: Claim::Refused(RefusedClaim { field, kind, message }) });
            }
            _ => "an action is refused at once",
        };
        Err(self
            .file
            .error(span, Problem::Invalid(problem.to_owned()), "here")
            .with_help("put `refused` without a time under the step whose action is refused"))
    }

    fn job(&self, job: Spanned<raw::JobFields>) -> Result<Clause, ScenarioError> {
        let Spanned { value: raw, span } = job;
        let name = match (&raw.name, self.scope.only_job()) {
            (Some(name), _) => name.clone(),
            (None, Some(only)) => Spanned { value: only.to_owned(), span: span.clone() },
            (None, None) => {
                let problem = Problem::MissingField("name".to_owned());
                return Err(self.file.error(span, problem, "of which Job?").with_help(
                    "a scenario without exactly one Job says which: `job: {name: …, active: 2}`",
                ));
            }
        };
        let facts = self.scope.job(self.file, &name)?;
        let mut fields: Vec<Spanned<JobClaim>> = Vec::new();
        let mut counts = |value: Option<Spanned<i32>>, claim: fn(i32) -> JobClaim| {
            fields.extend(value.map(|it| Spanned { value: claim(it.value), span: it.span }));
        };
        counts(raw.active, JobClaim::Active);
        counts(raw.ready, JobClaim::Ready);
        counts(raw.succeeded, JobClaim::Succeeded);
        counts(raw.failed, JobClaim::Failed);
        if let Some(it) = raw.terminating {
            fields.push(Spanned { value: JobClaim::Terminating(it.value.into_option()), span: it.span });
        }
        if let Some(it) = raw.suspended {
            fields.push(Spanned { value: JobClaim::Suspended(it.value.into_option()), span: it.span });
        }
        if let Some(it) = raw.completed_indexes {
            let text = self.indexes(&it, &name.value, facts)?;
            fields.push(Spanned { value: JobClaim::CompletedIndexes(text), span: it.span });
        }
        if let Some(Spanned { value, span }) = raw.failed_indexes {
            let text = value
                .into_option()
                .map(|value| self.indexes(&Spanned { value, span: span.clone() }, &name.value, facts));
            fields.push(Spanned { value: JobClaim::FailedIndexes(text.transpose()?), span });
        }
        if let Some(conditions) = raw.conditions {
            fields.push(self.conditions(conditions)?);
        }
        if fields.is_empty() {
            let problem = Problem::Invalid("`job` claims nothing".to_owned());
            let help = "add a field of its status: `job: {active: 2}`";
            return Err(self.file.error(span, problem, "no field").with_help(help));
        }
        fields.sort_by_key(|field| field.span.start);
        Ok(Clause { span, claim: Claim::Job { name: Some(name.value), fields } })
    }

    /// An index set as the controller writes it, within what the Job can have.
    fn indexes(
        &self,
        written: &Spanned<Verbatim>,
        job: &str,
        facts: &super::scope::JobFacts,
    ) -> Result<String, ScenarioError> {
        let text = self.file.read(written, text::canonical_index_set)?;
        match text::last_index(&text) {
            Some(index) if index >= facts.completions_max => {
                let problem = Problem::IndexOutOfRange { job: job.to_owned(), index };
                Err(self
                    .file
                    .error(written.span.clone(), problem, "can never be seen")
                    .with_help(facts.range_in_words()))
            }
            _ => Ok(text),
        }
    }

    fn conditions(&self, written: Spanned<Vec<Spanned<String>>>) -> Result<Spanned<JobClaim>, ScenarioError> {
        let mut conditions = Vec::new();
        for condition in written.value {
            let (kind, reason) = match condition.value.split_once('/') {
                Some((kind, reason)) => (kind, Some(reason.to_owned())),
                None => (condition.value.as_str(), None),
            };
            if !CONDITIONS.contains(&kind) {
                let problem = Problem::Unknown { what: "Job condition", text: kind.to_owned() };
                return Err(self
                    .file
                    .error(condition.span, problem, "not a condition of Jobs")
                    .with_help(suggest(kind, CONDITIONS.iter().copied())));
            }
            conditions.push((kind.to_owned(), reason));
        }
        Ok(Spanned { value: JobClaim::Conditions(conditions), span: written.span })
    }
}
