//! Prints the traces of a scenario in both virtual worlds, side by side where they differ.
use towtank_lockstep::{session, trace_text};
use towtank_reference::drivers::Drivers;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let scenario = towtank_scenario::load(args[1].as_ref()).unwrap();
    let version = args[2].parse().unwrap();
    let scenario = &scenario;
    let m = session::play_model(scenario, version, args[3].parse().unwrap()).unwrap();
    let r = session::play_reference(scenario, version, args[3].parse().unwrap(), &mut Drivers::default())
        .unwrap();
    std::fs::write(
        "/tmp/m.txt",
        trace_text::lines(&m.trace).iter().map(|l| format!("{l}\n")).collect::<String>(),
    )
    .unwrap();
    std::fs::write(
        "/tmp/r.txt",
        trace_text::lines(&r.trace).iter().map(|l| format!("{l}\n")).collect::<String>(),
    )
    .unwrap();
}
