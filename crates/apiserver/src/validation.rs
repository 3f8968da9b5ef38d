//! What built-in kinds other than pods and Jobs must look like (`pkg/apis/*/validation/validation.go`): rules that no schema tells.
//!
//! Values are those of the stored form, with their defaults. Rules about what our worlds do not have (addresses of Services, volumes of
//! templates, aggregated roles) are left out.

mod deployments;
mod events;
mod roles;

use serde_json::{Map, Value, json};
use towtank_model::version::KubernetesVersion;

use crate::error::{FieldError, FieldErrorType};
use crate::metadata::NameRule;
use crate::names;
use crate::selector::LabelSelector;
use crate::store::{At as _, text};

/// All values of a ConfigMap or Secret together (`MaxSecretSize`).
const DATA_BYTES_MAX: usize = 1024 * 1024;
/// What negative numbers are told (`IsNegativeErrorMsg`).
const NEGATIVE: &str = "must be greater than or equal to 0";
/// The group of roles.
const RBAC: &str = "rbac.authorization.k8s.io";

/// Every rule of its kind that an object breaks.
pub(crate) fn validate(
    version: KubernetesVersion,
    (group, kind): (&str, &str),
    object: &Value,
    before: Option<&Value>,
) -> Vec<FieldError> {
    let mut errors = Errors(Vec::new());
    match (group, kind) {
        ("", "ConfigMap") => errors.config_map(object),
        ("", "Secret") => errors.secret(object),
        ("", "Service") => errors.service(object),
        ("coordination.k8s.io", "Lease") => errors.lease(object),
        ("policy", "PodDisruptionBudget") => errors.budget(object),
        ("apps", "Deployment") => errors.deployment(object),
        (RBAC, "Role" | "ClusterRole") => errors.role(object, kind == "Role"),
        (RBAC, "RoleBinding" | "ClusterRoleBinding") => {
            errors.binding(object, kind == "RoleBinding");
            errors.role_ref_stays(version, object, before);
        }
        ("", "Event") => errors.event(object),
        ("events.k8s.io", "Event") => {
            errors.event(object);
            errors.strict_event(object, before);
        }
        _ => {}
    }
    errors.0
}

struct Errors(Vec<FieldError>);

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.at(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn fields<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.at(pointer).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn is_set(object: &Value, pointer: &str) -> bool {
    object.at(pointer).is_some_and(|value| !value.is_null() && *value != "" && *value != 0)
}

impl Errors {
    fn required(&mut self, field: &str, why: &str) {
        self.0.push(FieldError::required(field, why));
    }

    fn invalid(&mut self, field: &str, value: impl Into<Value>, why: &str) {
        self.0.push(FieldError::invalid(field, value, why));
    }

    /// What a rule for texts complains of.
    fn complain(&mut self, field: &str, value: &str, complaints: Vec<String>) {
        self.0.extend(complaints.iter().map(|why| FieldError::invalid(field, value, why)));
    }

    fn one_of(&mut self, field: &str, value: &Value, allowed: &[&str]) {
        let value = if value.is_null() { &json!("") } else { value };
        if !allowed.iter().any(|allowed| value == allowed) {
            let allowed: Vec<String> = allowed.iter().map(|text| (*text).to_owned()).collect();
            self.0.push(FieldError::not_supported(field, value.clone(), &allowed));
        }
    }

    fn duplicate(&mut self, field: &str, value: impl Into<Value>) {
        self.0.push(FieldError::new(FieldErrorType::Duplicate, field, value, ""));
    }

    /// A number that is there is not negative.
    fn not_negative(&mut self, object: &Value, field: &str) {
        let value = object.at(&format!("/{}", field.replace('.', "/"))).and_then(Value::as_i64);
        if let Some(value) = value.filter(|value| *value < 0) {
            self.invalid(field, value, NEGATIVE);
        }
    }

    // ---- data ----

    fn config_map(&mut self, object: &Value) {
        let binary = object.get("binaryData");
        for (key, _) in fields(object, "/data") {
            let field = format!("data[{key}]");
            self.complain(&field, key, names::config_key(key));
            if binary.is_some_and(|binary| binary.get(key).is_some()) {
                self.invalid(&field, key.as_str(), "duplicate of key present in binaryData");
            }
        }
        for (key, _) in fields(object, "/binaryData") {
            self.complain(&format!("binaryData[{key}]"), key, names::config_key(key));
        }
        let bytes = |value: &Value| value.as_str().map_or(0, str::len);
        let data: usize = fields(object, "/data").map(|(_, value)| bytes(value)).sum();
        let binary: usize = fields(object, "/binaryData").map(|(_, value)| decoded_len(value)).sum();
        self.size("", data + binary);
    }

    fn size(&mut self, field: &str, bytes: usize) {
        if bytes > DATA_BYTES_MAX {
            let why = format!("may not be more than {DATA_BYTES_MAX} bytes");
            self.0.push(FieldError::new(FieldErrorType::TooLong, field, "", &why));
        }
    }

    fn secret(&mut self, object: &Value) {
        for (key, _) in fields(object, "/data") {
            self.complain(&format!("data[{key}]"), key, names::config_key(key));
        }
        self.size("data", fields(object, "/data").map(|(_, value)| decoded_len(value)).sum());
        let has = |key: &str| fields(object, "/data").any(|(one, _)| one == key);
        let needed: &[&str] = match text(object, "/type") {
            "kubernetes.io/service-account-token" => {
                const NAME: &str = "kubernetes.io/service-account.name";
                let mut annotations = fields(object, "/metadata/annotations");
                if !annotations.any(|(key, value)| key == NAME && *value != "") {
                    self.required(&format!("metadata.annotations[{NAME}]"), "");
                }
                return;
            }
            "kubernetes.io/basic-auth" if has("username") || has("password") => return,
            "kubernetes.io/basic-auth" => &["username", "password"],
            "kubernetes.io/ssh-auth" => {
                if !fields(object, "/data").any(|(key, value)| key == "ssh-privatekey" && *value != "") {
                    self.required("data[ssh-privatekey]", "");
                }
                return;
            }
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            _ => return,
        };
        for key in needed.iter().filter(|key| !has(key)) {
            self.required(&format!("data[{key}]"), "");
        }
    }

    // ---- services, leases, budgets ----

    fn service(&mut self, object: &Value) {
        let ports = list(object, "/spec/ports");
        let kind = text(object, "/spec/type");
        let is_headless = text(object, "/spec/clusterIP") == "None";
        if ports.is_empty() && !is_headless && kind != "ExternalName" {
            self.required("spec.ports", "");
        }
        if is_headless && matches!(kind, "LoadBalancer" | "NodePort") {
            let why = format!("may not be set to 'None' for {kind} services");
            self.invalid("spec.clusterIPs[0]", "None", &why);
        }
        if kind == "ExternalName" {
            match text(object, "/spec/externalName").trim_end_matches('.') {
                "" => self.required("spec.externalName", ""),
                name => self.complain("spec.externalName", name, names::dns_subdomain(name)),
            }
        }
        let mut names = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            self.service_port(port, ports.len() > 1, &mut names, &format!("spec.ports[{index}]"));
        }
        for (key, value) in fields(object, "/spec/selector") {
            let value = value.as_str().unwrap_or_default();
            self.complain("spec.selector", key, names::label_key(key));
            self.complain("spec.selector", value, names::label_value(value));
        }
        let at = |field: &str| object.at(&format!("/spec/{field}")).unwrap_or(&Value::Null);
        self.one_of("spec.sessionAffinity", at("sessionAffinity"), &["ClientIP", "None"]);
        self.one_of("spec.type", at("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
        let (mut seen, mut seen_on_nodes) = (Vec::new(), Vec::new());
        for (index, port) in ports.iter().enumerate() {
            let field = format!("spec.ports[{index}]");
            if is_set(port, "/nodePort") {
                if kind == "ClusterIP" {
                    let why = "may not be used when `type` is 'ClusterIP'";
                    self.0.push(FieldError::forbidden(&format!("{field}.nodePort"), why));
                }
                let key = (&port["protocol"], &port["nodePort"]);
                if seen_on_nodes.contains(&key) {
                    self.duplicate(&format!("{field}.nodePort"), port["nodePort"].clone());
                }
                seen_on_nodes.push(key);
            }
            let key = (&port["protocol"], &port["port"]);
            if seen.contains(&key) {
                // The type of the server itself, with two of its fields set.
                let (protocol, number) = key;
                let shown = json!({
                    "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
                });
                self.duplicate(&field, shown);
            }
            seen.push(key);
        }
    }

    fn service_port<'a>(&mut self, port: &'a Value, needs_name: bool, names: &mut Vec<&'a str>, field: &str) {
        match text(port, "/name") {
            "" if needs_name => self.required(&format!("{field}.name"), ""),
            "" => {}
            name => {
                let field = format!("{field}.name");
                self.complain(&field, name, names::dns_label(name));
                if names.contains(&name) {
                    self.duplicate(&field, name);
                }
                names.push(name);
            }
        }
        self.port_number(&format!("{field}.port"), port["port"].as_i64().unwrap_or(0));
        self.one_of(&format!("{field}.protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
        let target = format!("{field}.targetPort");
        match &port["targetPort"] {
            Value::String(name) => self.complain(&target, name, names::port_name(name)),
            number => self.port_number(&target, number.as_i64().unwrap_or(0)),
        }
        if let Some(protocol) = port["appProtocol"].as_str() {
            self.complain(&format!("{field}.appProtocol"), protocol, names::label_key(protocol));
        }
    }

    fn port_number(&mut self, field: &str, number: i64) {
        if !(1..=65_535).contains(&number) {
            self.invalid(field, number, "must be between 1 and 65535, inclusive");
        }
    }

    fn lease(&mut self, object: &Value) {
        let seconds = object.at("/spec/leaseDurationSeconds").and_then(Value::as_i64);
        if let Some(seconds) = seconds.filter(|seconds| *seconds <= 0) {
            self.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0");
        }
        self.not_negative(object, "spec.leaseTransitions");
    }

    fn budget(&mut self, object: &Value) {
        let at = |field: &str| object.at(&format!("/spec/{field}")).filter(|value| !value.is_null());
        if let (Some(least), Some(most)) = (at("minAvailable"), at("maxUnavailable")) {
            // The type of the server itself.
            let spec = json!({
                "MinAvailable": least,
                "Selector": at("selector"),
                "MaxUnavailable": most,
                "UnhealthyPodEvictionPolicy": at("unhealthyPodEvictionPolicy"),
            });
            self.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
        }
        for name in ["minAvailable", "maxUnavailable"] {
            if let Some(value) = at(name) {
                self.number_or_percent(&format!("spec.{name}"), value);
            }
        }
        if let Some(policy) = at("unhealthyPodEvictionPolicy") {
            let known = ["AlwaysAllow", "IfHealthyBudget"];
            self.one_of("spec.unhealthyPodEvictionPolicy", policy, &known);
        }
    }

    fn number_or_percent(&mut self, field: &str, value: &Value) {
        match value {
            Value::String(written) => {
                let digits = written.strip_suffix('%').unwrap_or_default();
                if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
                    let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or \
                               '93%', regex used for validation is '[0-9]+%')";
                    self.invalid(field, written.as_str(), why);
                } else if digits.parse::<u64>().is_ok_and(|percent| percent > 100) {
                    self.invalid(field, written.as_str(), "must not be greater than 100%");
                }
            }
            number => {
                if let Some(number) = number.as_i64().filter(|number| *number < 0) {
                    self.invalid(field, number, NEGATIVE);
                }
            }
        }
    }
}

/// How many bytes a text in base 64 stands for.
fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    (text.trim_end_matches('=').len() * 3) / 4
}
