//! The namespaces of a story, and those that stand for them in a cluster that other people use too.
//!
//! A story speaks of `default`; in such a cluster it gets a fresh namespace instead. The names are exchanged at one place, the story's
//! [`Connection`](crate::connection::Connection): in paths and bodies of requests on the way out, in answers and watches on the way in. So nobody else knows of them, and nobody can reach another namespace.

use serde_json::Value;

/// Names of a story and of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// The story's name first. A name of the cluster occurs in no text by chance, and in no other of them.
    pairs: Vec<(String, String)>,
}

/// The field that names a namespace, wherever it is in an object.
const FIELD: &str = "namespace";

impl Namespaces {
    /// These namespaces of a story, each with the one that stands for it.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { pairs: pairs.into_iter().collect() }
    }

    /// What the cluster calls a namespace of the story.
    ///
    /// # Errors
    ///
    /// The story has no such namespace.
    pub fn real(&self, name: &str) -> Result<&str, String> {
        let pair = self.pairs.iter().find(|(told, _)| told == name);
        pair.map(|(_, real)| real.as_str())
            .ok_or_else(|| format!("the namespace `{name}` is none of this story's"))
    }

    /// The path of a request as the cluster has it.
    ///
    /// # Errors
    ///
    /// It is not in a namespace of the story.
    pub(crate) fn outward_path(&self, path: &str) -> Result<String, String> {
        // `/api/v1/namespaces/NAME/…`, and one segment more where there is a group.
        let place = if path.starts_with("/api/") { 3 } else { 4 };
        let (resource, query) =
            path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let mut segments: Vec<&str> = resource.split('/').collect();
        match segments.get_mut(place..) {
            Some([namespaces, name, ..]) if *namespaces == "namespaces" => *name = self.real(name)?,
            _ => return Err("it is in none of this story's namespaces".to_owned()),
        }
        let query = query.map_or_else(String::new, |query| format!("?{query}"));
        Ok(segments.join("/") + &query)
    }

    /// Makes the body of a request one that the cluster understands.
    pub(crate) fn outward(&self, value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.outward(item)),
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(text) if name == FIELD => {
                            if let Ok(real) = self.real(text) {
                                *text = real.to_owned();
                            }
                        }
                        _ => self.outward(field),
                    }
                }
            }
            _ => {}
        }
    }

    /// Makes what the cluster says something that the story understands: names of hosts and messages too.
    pub(crate) fn inward(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                for (told, real) in &self.pairs {
                    if text.contains(real) {
                        *text = text.replace(real, told);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.inward(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.inward(field)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn namespaces() -> Namespaces {
        let pair = |told: &str, real: &str| (told.to_owned(), real.to_owned());
        Namespaces::new([pair("default", "towtank-1a2b-0001"), pair("team", "towtank-1a2b-0002")])
    }

    #[test]
    fn paths_lead_to_the_storys_namespaces() {
        let outward = |path: &str| namespaces().outward_path(path);
        assert_eq!(
            outward("/api/v1/namespaces/default/pods"),
            Ok("/api/v1/namespaces/towtank-1a2b-0001/pods".into())
        );
        assert_eq!(
            outward("/apis/batch/v1/namespaces/team/jobs/default/status?namespaces=default"),
            Ok("/apis/batch/v1/namespaces/towtank-1a2b-0002/jobs/default/status?namespaces=default".into())
        );
        assert_eq!(outward("/api/v1/namespaces/team"), Ok("/api/v1/namespaces/towtank-1a2b-0002".into()));
    }

    #[test]
    fn nothing_else_is_reached() {
        for path in [
            "/api/v1/pods",
            "/api/v1/nodes/namespaces/default",
            "/apis/batch/v1/jobs",
            "/api/v1/namespaces",
            "/api/v1/namespaces?labelSelector=a",
            "/api/v1/namespaces/kube-system/pods",
            "/api/v1/namespaces/towtank-1a2b-0001/pods",
            "/version",
            "",
        ] {
            assert!(namespaces().outward_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn fields_that_name_a_namespace_are_exchanged_and_nothing_else() {
        let told = json!({
            "metadata": {"name": "default", "namespace": "default", "labels": {"team": "default"}},
            "involvedObject": {"namespace": "team", "name": "team"},
            "items": [{"metadata": {"namespace": "default"}}],
            "other": {"namespace": "kube-system"},
        });
        let mut object = told.clone();
        namespaces().outward(&mut object);
        assert_eq!(
            object,
            json!({
                "metadata": {"name": "default", "namespace": "towtank-1a2b-0001", "labels": {"team": "default"}},
                "involvedObject": {"namespace": "towtank-1a2b-0002", "name": "team"},
                "items": [{"metadata": {"namespace": "towtank-1a2b-0001"}}],
                "other": {"namespace": "kube-system"},
            })
        );
        namespaces().inward(&mut object);
        assert_eq!(object, told);
    }

    #[test]
    fn texts_of_the_cluster_speak_of_the_storys_namespaces() {
        let mut status = json!({
            "message": "pods \"a\" is forbidden in towtank-1a2b-0002, not in towtank-1a2b-0001",
            "data": {"broker.toml": "tcp://%h.flux.towtank-1a2b-0001.svc.cluster.local:8050"},
            "code": 403,
        });
        namespaces().inward(&mut status);
        assert_eq!(
            status,
            json!({
                "message": "pods \"a\" is forbidden in team, not in default",
                "data": {"broker.toml": "tcp://%h.flux.default.svc.cluster.local:8050"},
                "code": 403,
            })
        );
    }
}
