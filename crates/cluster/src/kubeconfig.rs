//! A cluster that is there already, as a kubeconfig names it.

use std::path::PathBuf;

use kube::config::Kubeconfig;
use towtank_model::version::KubernetesVersion;

use crate::connection::Connection;
use crate::deployed::Images;
use crate::site::{self, SiteError};

/// A cluster that other people use too, or may use.
#[derive(Clone, Debug)]
pub struct ForeignConfig {
    /// The file.
    pub kubeconfig: PathBuf,
    /// A context of the file; `None`: its current one.
    pub context: Option<String>,
    /// What runs there; the nodes have these images, or can pull them.
    pub images: Images,
}

impl ForeignConfig {
    /// What it is called, and where: the context and the address of its API server. Nothing is asked of the cluster.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or does not name a cluster.
    pub fn place(&self) -> Result<String, SiteError> {
        let wrong = |why: String| SiteError::Client(format!("{}: {why}", self.kubeconfig.display()));
        let file = Kubeconfig::read_from(&self.kubeconfig).map_err(|error| wrong(error.to_string()))?;
        let context = self.context.clone().or(file.current_context);
        let context = context.ok_or_else(|| wrong("it has no current context: name one".to_owned()))?;
        let named = file.contexts.into_iter().find(|named| named.name == context);
        let cluster = named.and_then(|named| named.context).map(|context| context.cluster);
        let named = file.clusters.into_iter().find(|named| Some(&named.name) == cluster.as_ref());
        let server = named.and_then(|named| named.cluster).and_then(|cluster| cluster.server);
        let server = server.ok_or_else(|| wrong(format!("the context `{context}` leads to no cluster")))?;
        Ok(format!("the cluster of the context `{context}` at {server}"))
    }

    /// A client of it, which may do what the user of the context may.
    ///
    /// # Errors
    ///
    /// As of [`Connection::from_kubeconfig`].
    pub(crate) fn connect(&self) -> Result<Connection, SiteError> {
        Connection::from_kubeconfig(&self.kubeconfig, self.context.as_deref()).map_err(SiteError::Client)
    }

    /// The version that its API server says it has.
    ///
    /// # Errors
    ///
    /// It does not answer, or is of a version that the model does not know.
    pub fn version(&self) -> Result<KubernetesVersion, SiteError> {
        let place = self.place()?;
        site::version(&self.connect()?).map_err(|error| SiteError::Client(format!("{place}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_has_a_place() {
        let file = std::env::temp_dir().join(format!("towtank-kubeconfig-{}", std::process::id()));
        let text = "clusters: [{name: c, cluster: {server: 'https://c.example:6443'}}]\n\
                    contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: d, user: u}}]\n\
                    current-context: a\n";
        std::fs::write(&file, text).expect("the file can be written");
        let images = Images { operator: "o".to_owned(), broker: "b".to_owned(), view: None };
        let at = |context: Option<&str>| {
            let context = context.map(str::to_owned);
            let config = ForeignConfig { kubeconfig: file.clone(), context, images: images.clone() };
            config.place().map_err(|error| error.to_string())
        };
        let places = [at(None), at(Some("b")), at(Some("c"))];
        std::fs::remove_file(&file).expect("it is there");
        assert_eq!(places[0], Ok("the cluster of the context `a` at https://c.example:6443".to_owned()));
        for (place, context) in places[1..].iter().zip(["b", "c"]) {
            let error = place.as_ref().expect_err("no cluster");
            assert!(error.ends_with(&format!("the context `{context}` leads to no cluster")), "{error}");
        }
        assert!(at(None).expect_err("no file").contains(&*file.to_string_lossy()));
    }
}
