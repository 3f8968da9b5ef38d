//! Where a run keeps its files, and the flags of each component.

use std::path::PathBuf;

use crate::config::{Component, Config};
use crate::ports::Ports;

/// The files of a run. All paths are text.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: String,
}

impl Layout {
    pub(crate) fn new(root: &str) -> Self {
        Self { root: root.to_owned() }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    pub(crate) fn ca(&self) -> String {
        self.file("pki/ca.crt")
    }

    pub(crate) fn cert(&self) -> String {
        self.file("pki/tls.crt")
    }

    pub(crate) fn key(&self) -> String {
        self.file("pki/tls.key")
    }

    pub(crate) fn service_account_key(&self) -> String {
        self.file("pki/sa.key")
    }

    pub(crate) fn service_account_public_key(&self) -> String {
        self.file("pki/sa.pub")
    }

    pub(crate) fn tokens(&self) -> String {
        self.file("pki/tokens.csv")
    }

    pub(crate) fn data(&self) -> String {
        self.file("etcd")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.file("logs").into()
    }

    pub(crate) fn log(&self, component: Component) -> PathBuf {
        self.logs().join(format!("{component}.log"))
    }

    /// The kubeconfig of a user: `admin`, or a component.
    pub(crate) fn kubeconfig(&self, user: &str) -> String {
        self.file(&format!("{user}.kubeconfig"))
    }
}

/// The arguments of a component; `gates` are the feature gates that it knows.
pub(crate) fn args(
    component: Component,
    layout: &Layout,
    ports: &Ports,
    gates: &[String],
    config: &Config,
) -> Vec<String> {
    let mut args = match component {
        Component::Etcd => etcd(layout, ports),
        Component::Apiserver => apiserver(layout, ports),
        Component::ControllerManager => controller_manager(layout, ports, config.controller_qps),
        Component::Scheduler => client(Component::Scheduler, layout, ports.scheduler),
    };
    if !gates.is_empty() {
        args.push(format!("--feature-gates={}", gates.join(",")));
    }
    args.extend(config.extra_flags.get(&component).into_iter().flatten().cloned());
    args
}

fn etcd(layout: &Layout, ports: &Ports) -> Vec<String> {
    let (client, peer) = (url(ports.etcd), url(ports.etcd_peer));
    let mut args = vec![
        "--name=default".to_owned(),
        format!("--data-dir={}", layout.data()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // What is kept for minutes need not outlive a power cut.
        "--unsafe-no-fsync".to_owned(),
    ];
    // Only this run's API server is let in, and it can take no other etcd for its own.
    for prefix in ["", "peer-"] {
        args.push(format!("--{prefix}cert-file={}", layout.cert()));
        args.push(format!("--{prefix}key-file={}", layout.key()));
        args.push(format!("--{prefix}client-cert-auth"));
        args.push(format!("--{prefix}trusted-ca-file={}", layout.ca()));
    }
    args
}

fn apiserver(layout: &Layout, ports: &Ports) -> Vec<String> {
    let mut args = vec![
        format!("--etcd-servers={}", url(ports.etcd)),
        format!("--etcd-cafile={}", layout.ca()),
        format!("--etcd-certfile={}", layout.cert()),
        format!("--etcd-keyfile={}", layout.key()),
        "--advertise-address=127.0.0.1".to_owned(),
        // No Service object leads to a loopback address.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--token-auth-file={}", layout.tokens()),
        "--authorization-mode=RBAC".to_owned(),
        // Pods need no mounted tokens where no kubelet mounts them.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", layout.service_account_public_key()),
        format!("--service-account-signing-key-file={}", layout.service_account_key()),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
    ];
    args.extend(serving(layout, ports.apiserver));
    args
}

fn controller_manager(layout: &Layout, ports: &Ports, qps: Option<(f32, u32)>) -> Vec<String> {
    let mut args = client(Component::ControllerManager, layout, ports.controller_manager);
    args.extend([
        format!("--service-account-private-key-file={}", layout.service_account_key()),
        format!("--root-ca-file={}", layout.ca()),
        // Each controller is a user with a role of its own, as in clusters that kubeadm makes.
        "--use-service-account-credentials=true".to_owned(),
        // Its default is a directory of the system, which it would make.
        format!("--flex-volume-plugin-dir={}", layout.file("flex-volumes")),
    ]);
    if let Some((qps, burst)) = qps {
        args.extend([format!("--kube-api-qps={qps}"), format!("--kube-api-burst={burst}")]);
    }
    args
}

/// What a component needs that is a client of the API server and serves its own health and metrics.
fn client(component: Component, layout: &Layout, port: u16) -> Vec<String> {
    let kubeconfig = layout.kubeconfig(component.name());
    let mut args = vec![
        format!("--kubeconfig={kubeconfig}"),
        // So that an administrator's token reads its metrics.
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        // They know users by tokens alone: there is nothing else to be learnt from the cluster.
        "--authentication-skip-lookup=true".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    args.extend(serving(layout, port));
    args
}

fn serving(layout: &Layout, port: u16) -> [String; 4] {
    [
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", layout.cert()),
        format!("--tls-private-key-file={}", layout.key()),
    ]
}

/// A server of this run.
pub(crate) fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Binaries;

    const PORTS: Ports = Ports { etcd: 1, etcd_peer: 2, apiserver: 3, controller_manager: 4, scheduler: 5 };

    fn config() -> Config {
        Config::new(Binaries::in_dir(Path::new("/bin"), "1.37.0"), "/runs")
    }

    fn of(component: Component, gates: &[String], config: &Config) -> Vec<String> {
        args(component, &Layout::new("/run"), &PORTS, gates, config)
    }

    #[test]
    fn everything_listens_on_the_loopback_interface_only() {
        let etcd = of(Component::Etcd, &[], &config());
        for wanted in ["--listen-client-urls=https://127.0.0.1:1", "--listen-peer-urls=https://127.0.0.1:2"] {
            assert!(etcd.iter().any(|arg| arg == wanted), "{etcd:?}");
        }
        for (component, port) in
            [(Component::Apiserver, 3), (Component::ControllerManager, 4), (Component::Scheduler, 5)]
        {
            let args = of(component, &[], &config());
            for wanted in ["--bind-address=127.0.0.1".to_owned(), format!("--secure-port={port}")] {
                assert!(args.contains(&wanted), "{component}: {args:?}");
            }
        }
    }

    #[test]
    fn rates_are_the_controllers_alone() {
        let with_rates = Config { controller_qps: Some((50.0, 100)), ..config() };
        let has_rates = |component, config| {
            let args = of(component, &[], config);
            args.iter().filter(|arg| arg.starts_with("--kube-api-")).cloned().collect::<Vec<_>>()
        };
        let wanted = ["--kube-api-qps=50", "--kube-api-burst=100"];
        assert_eq!(has_rates(Component::ControllerManager, &with_rates), wanted);
        assert!(has_rates(Component::Scheduler, &with_rates).is_empty());
        assert!(has_rates(Component::ControllerManager, &config()).is_empty());
    }

    #[test]
    fn gates_are_one_flag_and_the_users_flags_come_last() {
        let mut config = config();
        config.extra_flags.insert(Component::Scheduler, vec!["--v=4".to_owned()]);
        let gates = ["A=true".to_owned(), "B=false".to_owned()];
        let args = of(Component::Scheduler, &gates, &config);
        assert_eq!(args[args.len() - 2..], ["--feature-gates=A=true,B=false", "--v=4"]);
        assert!(
            !of(Component::Apiserver, &[], &config).iter().any(|arg| arg.contains("gates") || arg == "--v=4")
        );
    }

    #[test]
    fn no_component_elects_a_leader_or_writes_outside_the_run() {
        for component in [Component::ControllerManager, Component::Scheduler] {
            assert!(of(component, &[], &config()).contains(&"--leader-elect=false".to_owned()));
        }
        for component in Component::ALL {
            for arg in of(component, &[], &config()) {
                let value = arg.split_once('=').map(|(_, value)| value).unwrap_or_default();
                assert!(!value.starts_with('/') || value.starts_with("/run/"), "{component}: {arg}");
            }
        }
    }
}
