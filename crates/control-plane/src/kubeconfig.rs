//! Files for clients: a server, the authority of its certificate, and a token.

use serde_json::json;

/// A kubeconfig with one user. JSON is YAML, and every path and token is quoted as it must be.
pub(crate) fn text(server: &str, ca_file: &str, user: &str, token: &str) -> String {
    let name = "towtank";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": ca_file}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_names_server_authority_and_token() {
        let text = text("https://127.0.0.1:1", "/a \"b\"/ca.crt", "admin", "secret");
        let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let wanted = json!({"server": "https://127.0.0.1:1", "certificate-authority": "/a \"b\"/ca.crt"});
        assert_eq!(config["clusters"][0]["cluster"], wanted);
        assert_eq!(config["users"][0], json!({"name": "admin", "user": {"token": "secret"}}));
        let current = &config["current-context"];
        assert_eq!(current, &config["contexts"][0]["name"]);
        assert_eq!(config["contexts"][0]["context"]["user"], "admin");
        assert_eq!(config["contexts"][0]["context"]["cluster"], config["clusters"][0]["name"]);
    }
}
