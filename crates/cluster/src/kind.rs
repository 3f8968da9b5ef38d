//! The provider `kind`: real nodes and containers, the operator as the Deployment of `deploy/`, and in the pods of MiniClusters a program that does what a broker does.

use std::collections::BTreeSet;
use std::path::PathBuf;

use towtank_kind::{Config, Kind};
pub use towtank_kind::{NEWEST_ON_CGROUP_V1, OPERATOR_IMAGE, STAND_IN_IMAGE};

use crate::connection::Connection;
use crate::deployed::{Deployed, Images, Life};
use crate::site::{SiteConfig, SiteError};

/// A cluster of kind.
#[derive(Clone, Debug)]
pub struct KindConfig {
    /// Cargo's target directory: where kind and kubectl are.
    pub target_dir: PathBuf,
    /// The image of the nodes; `None`: that which `cargo xtask kind build-node-image` builds.
    pub node_image: Option<String>,
    /// What runs there; docker has these images.
    pub images: Images,
}

/// A running cluster of kind, with the operator in it.
pub(crate) type KindCluster = Deployed<Kind>;

impl KindCluster {
    pub(crate) fn start(config: &SiteConfig, settings: &KindConfig) -> Result<Self, SiteError> {
        // Other runs are cleaned up after in another way.
        let mut kind = Kind::create(Config {
            node_image: settings.node_image.clone(),
            interrupt: config.interrupt.clone(),
            ..Config::new(&settings.target_dir, config.dir.join("kind"), config.version)
        })?;
        let Images { operator, broker, view } = &settings.images;
        let images: BTreeSet<&String> = [operator, broker].into_iter().chain(view).collect();
        let connected = images
            .into_iter()
            .try_for_each(|image| Ok(kind.load_image(image)?))
            .and_then(|()| Connection::from_kubeconfig(kind.kubeconfig(), None).map_err(SiteError::Client));
        let connection = connected.map_err(|error| error.logged(|| kind.keep_logs_of_failed()))?;
        Self::install(kind, connection, &settings.images, config.interrupt.clone())
    }
}

/// It is deleted with its value, and all that is in it.
impl Life for Kind {
    fn keep_logs(&mut self, to: PathBuf) {
        Self::keep_logs(self, to);
    }

    fn keep_logs_of_failed(&mut self) -> PathBuf {
        Self::keep_logs_of_failed(self)
    }
}
