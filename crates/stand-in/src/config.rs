//! The command line and `broker.toml` (Flux spec A.5; flux-broker(1), flux-config-bootstrap(5)).

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use towtank_flux::Hostlist;
use towtank_flux::instance::{ConfigError, Setup};
use towtank_flux::overlay::{Quorum, Topology};
use towtank_flux::version::Features;

use crate::error::{StandInError, at};

/// The port, where the configuration names none.
const PORT: u16 = 8050;

/// What `flux broker` is told.
#[derive(Debug)]
pub(crate) struct Options {
    config: PathBuf,
    attributes: BTreeMap<String, String>,
    /// What the lead runs inside of the instance.
    pub(crate) program: Vec<String>,
}

impl Options {
    pub(crate) fn read(words: &[&str]) -> Result<Self, StandInError> {
        let mut options = Self { config: PathBuf::new(), attributes: BTreeMap::new(), program: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(path) = word.strip_prefix("--config-path=") {
                options.config = PathBuf::from(path);
            } else if let Some(setting) = word.strip_prefix("-S").or_else(|| word.strip_prefix("--setattr="))
            {
                let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
                options.attributes.insert(name.to_owned(), value.to_owned());
            } else if word.starts_with('-') {
                return Err(StandInError::Option((*word).to_owned()));
            } else {
                options.program =
                    std::iter::once(word).chain(words.by_ref()).map(|word| (*word).to_owned()).collect();
            }
        }
        Ok(options)
    }

    /// An attribute that was set.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// The socket of this broker, for users beside it.
    pub(crate) fn socket(&self, rank: u32) -> PathBuf {
        match self.attribute("local-uri") {
            Some(uri) => PathBuf::from(uri.strip_prefix("local://").unwrap_or(uri)),
            None => Path::new(self.attribute("rundir").unwrap_or("/run/flux")).join(format!("local-{rank}")),
        }
    }

    pub(crate) fn quorum(&self, features: &Features) -> Result<Quorum, StandInError> {
        Ok(self.attribute("broker.quorum").map_or(Ok(Quorum::All), |text| Quorum::read(text, features))?)
    }

    pub(crate) fn topology(&self) -> Result<Topology, StandInError> {
        match (self.attribute("tbon.topo"), self.attribute("tbon.fanout")) {
            (Some("kary:0"), _) => Ok(Topology::Flat),
            (Some(text), _) => Ok(text.parse()?),
            (None, Some(fanout)) => Ok(format!("kary:{fanout}").parse()?),
            (None, None) => Ok(Topology::Flat),
        }
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> Result<Config, StandInError> {
        // As Flux: a file, or a directory of them.
        let path = if self.config.is_dir() { self.config.join("broker.toml") } else { self.config.clone() };
        let text = at(&path, fs::read_to_string(&path))?;
        toml::from_str(&text).map_err(|error| StandInError::BadFile { path, why: error.to_string() })
    }
}

/// What of `broker.toml` matters here.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    bootstrap: Bootstrap,
    #[serde(default)]
    pub(crate) resource: Resource,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Resource {
    /// Where R is.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
struct Bootstrap {
    default_port: Option<u16>,
    default_bind: Option<String>,
    default_connect: Option<String>,
    hosts: Vec<Host>,
}

#[derive(Clone, Debug, Deserialize)]
struct Host {
    host: String,
    bind: Option<String>,
    connect: Option<String>,
}

impl Config {
    /// All hosts in the order of their ranks.
    pub(crate) fn hosts(&self) -> Result<Hostlist, ConfigError> {
        let texts: Vec<&str> = self.bootstrap.hosts.iter().map(|host| host.host.as_str()).collect();
        Setup::read_hosts(&texts.join(","))
    }

    /// Where the lead listens.
    pub(crate) fn bind(&self) -> Result<SocketAddr, StandInError> {
        let (host, port) = self.endpoint(|host| host.bind.as_ref(), self.bootstrap.default_bind.as_ref())?;
        // An interface, or all of them: the pod has one.
        let address = host.parse::<IpAddr>().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        Ok((address, port).into())
    }

    /// Where workers reach the lead. The name is looked up anew each time: pods come and go.
    pub(crate) fn connect(&self) -> Result<Vec<SocketAddr>, StandInError> {
        let (host, port) =
            self.endpoint(|host| host.connect.as_ref(), self.bootstrap.default_connect.as_ref())?;
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect).map_err(StandInError::Machine)
    }

    /// Host and port of the lead: the first of the hosts.
    fn endpoint<'a>(
        &'a self,
        own: impl Fn(&'a Host) -> Option<&'a String>,
        default: Option<&'a String>,
    ) -> Result<(String, u16), StandInError> {
        let lead = self.bootstrap.hosts.first();
        let name = self.hosts()?.get(0).unwrap_or_default();
        let port = self.bootstrap.default_port.unwrap_or(PORT);
        let text = lead.and_then(own).or(default).map_or("tcp://%h:%p", String::as_str);
        let text = text.replace("%h", &name).replace("%p", &port.to_string());
        let parts = text.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':'));
        let parts = parts.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        parts.ok_or(StandInError::Endpoint(text))
    }
}

/// The name of this host, as Flux finds it: the variable is Flux's own, for tests.
pub(crate) fn host_name() -> Result<String, StandInError> {
    let path = Path::new("/proc/sys/kernel/hostname");
    std::env::var("FLUX_FAKE_HOSTNAME").or_else(|_| Ok(at(path, fs::read_to_string(path))?.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).expect("a configuration")
    }

    const OPERATOR: &str = "[resource]\npath = \"/mnt/R\"\n[bootstrap]\ndefault_port = 8050\ndefault_bind = \"tcp://eth0:%p\"\n\
        default_connect = \"tcp://%h.flux.default.svc:%p\"\nhosts = [\n  { host = \"sample-[0-3],burst-0-[0-1]\" },\n]\n[archive]\nperiod = \"1m\"\n";

    #[test]
    fn reads_what_the_operator_writes() {
        let config = config(OPERATOR);
        assert_eq!(config.hosts().expect("hosts").len(), 6);
        assert_eq!(config.bind().expect("an address"), SocketAddr::from(([0, 0, 0, 0], 8050)));
        let connect =
            config.endpoint(|host| host.connect.as_ref(), config.bootstrap.default_connect.as_ref());
        assert_eq!(connect.expect("an endpoint"), ("sample-0.flux.default.svc".to_owned(), 8050));
        assert_eq!(config.resource.path, Some("/mnt/R".into()));
    }

    #[test]
    fn a_host_can_have_an_address_of_its_own() {
        let text = "[bootstrap]\nhosts = [{ host = \"lead\", bind = \"tcp://127.0.0.1:99\", connect = \"tcp://127.0.0.1:98\" }, { host = \"w\" }]\n";
        let config = config(text);
        assert_eq!(config.bind().expect("an address"), SocketAddr::from(([127, 0, 0, 1], 99)));
        assert_eq!(config.connect().expect("an address"), [SocketAddr::from(([127, 0, 0, 1], 98))]);
        let none = super::tests::config("[bootstrap]\nhosts = [{ host = \"lead\", bind = \"ipc://x\" }]\n");
        assert!(matches!(none.bind(), Err(StandInError::Endpoint(text)) if text == "ipc://x"));
    }

    #[test]
    fn reads_a_command_line() {
        let words = ["--config-path=/etc", "-Srundir=/run/x", "-Sbroker.rc2_none", "bash", "-c", "-Sno"];
        let options = Options::read(&words).expect("options");
        assert_eq!(options.attribute("broker.rc2_none"), Some(""));
        assert_eq!(options.program, ["bash", "-c", "-Sno"]);
        assert_eq!(options.socket(2), Path::new("/run/x/local-2"));
        let options = Options::read(&["-Slocal-uri=local:///run/x/local"]).expect("options");
        assert_eq!(options.socket(2), Path::new("/run/x/local"));
        assert!(matches!(Options::read(&["--unknown"]), Err(StandInError::Option(_))));
    }

    #[test]
    fn reads_the_shape_of_the_tree() {
        let topology = |word: &str| Options::read(&[word]).expect("options").topology().expect("a topology");
        assert_eq!(topology("-Stbon.fanout=256"), Topology::Kary(256));
        assert_eq!(topology("-Stbon.topo=kary:0"), Topology::Flat);
        assert_eq!(topology("-Stbon.topo=kary:2"), Topology::Kary(2));
    }
}
