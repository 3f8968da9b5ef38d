//! `towtank-e2e`: plays scenarios on a real control plane, and lets the model explain what happened there.

fn main() -> std::process::ExitCode {
    towtank_control_plane::shim();
    let _ = towtank_control_plane::Interrupt::install();
    let args: Vec<String> = std::env::args().collect();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if args.len() < 3 { return std::process::ExitCode::from(2); }
    let version: towtank_model::version::KubernetesVersion = args[1].parse().unwrap();
    let mut site = towtank_cluster::site::Site::start(towtank_cluster::site::SiteConfig {
        binaries: towtank_control_plane::Binaries::in_dir(&root.join("target/reference"), &version.full()),
        version,
        operator: root.join("target/release/towtank-operator"),
        dir: root.join("target/clusters"),
        feature_gates: vec![],
        controller_qps: None,
        interrupt: None,
    })
    .unwrap_or_else(|e| panic!("{e}"));
    eprintln!("up");
    for path in &args[2..] {
        let scenario = towtank_scenario::load(std::path::Path::new(path)).unwrap();
        let stack = towtank_scenario::ast::Stack { kubernetes: version, flux: scenario.has_miniclusters().then(|| "0.61.2".parse().unwrap()) };
        match towtank_cluster::world::play(&mut site, &scenario, stack, 1, Default::default()) {
            Ok(run) => {
                println!("{} {:?} ended {:?}", run.scenario, run.failure, run.ended);
                for s in &run.steps { println!("  {} {:?} {:?}", s.name, s.outcome(), s.latency()); }
                println!("{}", run.observations);
            }
            Err(error) => println!("{}: {error}", scenario.name),
        }
    }
    std::process::ExitCode::SUCCESS
}
