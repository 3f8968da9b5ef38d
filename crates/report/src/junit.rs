//! The report as JUnit XML: one suite per scenario, one case per run.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};
use towtank_lockstep::run::Run;
use towtank_lockstep::verdict::Judgement;

use crate::{ScenarioReport, human};

/// The document.
///
/// # Errors
///
/// None that a report can bring about; the writer's own are passed on.
pub fn render(reports: &[ScenarioReport]) -> Result<String, SerializeError> {
    let mut document = Report::new("towtank");
    for report in reports {
        let mut suite = TestSuite::new(report.scenario.name.as_str());
        suite.add_test_cases(report.runs.iter().map(|run| case(report, run)));
        suite.add_test_cases(comparisons(report));
        document.add_test_suite(suite);
    }
    document.to_string()
}

fn case(report: &ScenarioReport, run: &Run) -> TestCase {
    let status = match &run.failure {
        None => TestCaseStatus::success(),
        Some(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(failure.cause.code());
            status.set_message(format!("step `{}`: {}", failure.step, failure.cause));
            status.set_description(without_colours(&human::failure(&report.scenario, run, failure)));
            status
        }
    };
    let name = format!("{} {} seed {}", run.world, run.stack, run.seed);
    let mut case = TestCase::new(name, status);
    case.set_classname(report.scenario.name.as_str());
    // Virtual time, not the machine's: how long the story lasts.
    case.set_time(run.ended - towtank_model::time::Time::ZERO);
    case
}

/// Each pair of worlds is a case of its own: that both pass does not say that they agree.
fn comparisons(report: &ScenarioReport) -> impl Iterator<Item = TestCase> {
    report.pairs.iter().map(|pair| {
        let status = match &pair.judgement {
            Judgement::Diverges(divergence) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_type("diverges");
                status.set_message(format!("the first difference is write {}", divergence.writes_before + 1));
                status.set_description(without_colours(&human::verdicts(&[pair])));
                status
            }
            Judgement::Agrees { .. } | Judgement::Explained { .. } | Judgement::ExplainedBy(_) => {
                TestCaseStatus::success()
            }
        };
        let name = format!("{} and {} agree", pair.left, pair.right);
        let mut case = TestCase::new(name, status);
        case.set_classname(report.scenario.name.as_str());
        case
    })
}

/// `text` without escape sequences.
pub(crate) fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find('\u{1b}') {
        plain.push_str(&rest[..escape]);
        let sequence = &rest[escape..];
        rest = sequence.find('m').map_or("", |end| &sequence[end + 1..]);
    }
    plain.push_str(rest);
    plain
}
