//! Roles and who has them.

use super::*;

impl Errors {
    pub(super) fn role(&mut self, object: &Value, is_namespaced: bool) {
        for (index, rule) in list(object, "/rules").iter().enumerate() {
            let field = |name: &str| format!("rules[{index}].{name}");
            let has = |name: &str| !list(rule, &format!("/{name}")).is_empty();
            if !has("verbs") {
                self.required(&field("verbs"), "verbs must contain at least one value");
            }
            if has("nonResourceURLs") {
                let urls = || rule["nonResourceURLs"].clone();
                if is_namespaced {
                    let why = "namespaced rules cannot apply to non-resource URLs";
                    self.invalid(&field("nonResourceURLs"), urls(), why);
                }
                if has("apiGroups") || has("resources") || has("resourceNames") {
                    let why = "rules cannot apply to both regular resources and non-resource URLs";
                    self.invalid(&field("nonResourceURLs"), urls(), why);
                }
                continue;
            }
            if !has("apiGroups") {
                self.required(&field("apiGroups"), "resource rules must supply at least one api group");
            }
            if !has("resources") {
                self.required(&field("resources"), "resource rules must supply at least one resource");
            }
        }
    }

    pub(super) fn binding(&mut self, object: &Value, is_namespaced: bool) {
        self.one_of("roleRef.apiGroup", &object["roleRef"]["apiGroup"], &[RBAC]);
        let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        self.one_of("roleRef.kind", &object["roleRef"]["kind"], kinds);
        match text(object, "/roleRef/name") {
            "" => self.required("roleRef.name", ""),
            name => self.complain("roleRef.name", name, NameRule::Path.complaints(name)),
        }
        for (index, subject) in list(object, "/subjects").iter().enumerate() {
            let field = |part: &str| format!("subjects[{index}].{part}");
            let name = text(subject, "/name");
            if name.is_empty() {
                self.required(&field("name"), "");
            }
            match text(subject, "/kind") {
                "ServiceAccount" => {
                    if !name.is_empty() {
                        self.complain(&field("name"), name, names::dns_subdomain(name));
                    }
                    self.one_of(&field("apiGroup"), &subject["apiGroup"], &[""]);
                    if !is_namespaced && !is_set(subject, "/namespace") {
                        self.required(&field("namespace"), "");
                    }
                }
                "User" | "Group" => self.one_of(&field("apiGroup"), &subject["apiGroup"], &[RBAC]),
                _ => {
                    let known = ["ServiceAccount", "User", "Group"];
                    self.one_of(&field("kind"), &subject["kind"], &known);
                }
            }
        }
    }

    /// Since 1.37 in the words of all fields that cannot change.
    pub(super) fn role_ref_stays(
        &mut self,
        version: KubernetesVersion,
        object: &Value,
        before: Option<&Value>,
    ) {
        if before.is_some_and(|before| before["roleRef"] != object["roleRef"]) {
            let why = if version.minor() < 37 { "cannot change roleRef" } else { "field is immutable" };
            self.invalid("roleRef", object["roleRef"].clone(), why);
        }
    }
}
