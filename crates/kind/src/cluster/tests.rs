use super::*;

#[test]
fn a_cluster_has_the_name_of_its_run() {
    assert_eq!(cluster_name(Path::new("/x/run-0a1b2c3d")), "towtank-0a1b2c3d");
}

/// A cluster that was never made, with a script in the place of kind.
struct Scene {
    dir: PathBuf,
    config: Config,
}

impl Scene {
    fn new(name: &str, script: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("towtank-cluster-{name}-{}", std::process::id()));
        let config = Config::new(dir.join("target"), dir.join("runs"), NEWEST_ON_CGROUP_V1);
        let program = config.program(Program::Kind);
        std::fs::create_dir_all(program.parent().expect("a directory")).expect("a directory");
        std::fs::write(&program, script).expect("a script");
        // By another process: this one would have the file open while other threads start theirs.
        let made =
            Command::new("sh").args(["-c", "cp $0 $0-; chmod +x $0-; mv $0- $0"]).arg(&program).status();
        assert!(made.expect("a shell").success());
        Self { dir, config }
    }

    fn cluster(&self) -> Kind {
        let run = RunDir::create(&self.config.runs, &|_| Ok(())).expect("a run");
        let (name, kubeconfig) = (cluster_name(run.path()), run.path().join("kubeconfig"));
        Kind { config: self.config.clone(), name, kubeconfig, failed: false, run }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn what_was_not_deleted_is_known_to_the_next_start() {
    let scene = Scene::new("kept", "#!/bin/sh\nexit 1\n");
    let kind = scene.cluster();
    let dir = kind.dir().to_owned();
    drop(kind);
    assert!(dir.is_dir());
    let left = clean_up(&scene.config).expect_err("it is tried again");
    assert!(left.to_string().contains("delete cluster"), "{left}");
    assert!(dir.is_dir());
}

#[test]
fn a_cluster_is_deleted_after_a_try_that_was_killed() {
    // As kind does it: a lock that must not exist. It leaves the lock, as if it was killed.
    let script = "#!/bin/sh\nset -eC\n: >\"$KUBECONFIG.lock\"\necho \"$@\" >>\"${KUBECONFIG%/*}/deletes\"\n";
    let scene = Scene::new("locked", script);
    let kind = scene.cluster();
    for _ in 0..2 {
        // Whether a docker daemon answers is not asked here.
        let _ = delete(&scene.config.program(Program::Kind), kind.dir());
    }
    let deletes = std::fs::read_to_string(kind.dir().join("deletes")).expect("it was called");
    assert_eq!(deletes, format!("delete cluster --name {}\n", kind.name()).repeat(2));
}

#[test]
fn other_images_get_the_network_of_kind() {
    let ours = cluster_config(1, "towtank/node:v1.36.3-0");
    assert_eq!(
        ours,
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  disableDefaultCNI: true\nnodes:\n  - role: control-plane\n    \
         image: \"towtank/node:v1.36.3-0\"\n  - role: worker\n    image: \"towtank/node:v1.36.3-0\"\n"
    );
    assert!(cluster_config(0, "kindest/node:v1.36.1").contains("disableDefaultCNI: false"));
}

#[test]
fn a_cluster_has_a_size() {
    let version = "1.36".parse().expect("a version");
    let config = Config { workers: WORKERS_MAX + 1, ..Config::new("target", "target/none", version) };
    assert!(matches!(Kind::create(config), Err(KindError::Unfit(_))));
}

#[test]
fn programs_that_are_missing_are_named() {
    let version = "1.36".parse().expect("a version");
    let error = Kind::create(Config::new("/nowhere", "/nowhere", version)).expect_err("nothing is there");
    assert!(error.to_string().contains("cargo xtask kind build-node-image"), "{error}");
}
