//! Deployments.

use super::*;

impl Errors {
    pub(super) fn deployment(&mut self, object: &Value) {
        self.not_negative(object, "spec.replicas");
        let labels = object.at("/spec/template/metadata/labels").cloned().unwrap_or_default();
        let selector = object.at("/spec/selector").filter(|selector| !selector.is_null());
        let matches = match selector {
            None => {
                self.required("spec.selector", "");
                Ok(false)
            }
            Some(selector) => {
                let is_empty = |pointer| fields(selector, pointer).next().is_none();
                if is_empty("/matchLabels") && list(selector, "/matchExpressions").is_empty() {
                    let why = "empty selector is invalid for deployment";
                    self.invalid("spec.selector", selector.clone(), why);
                }
                LabelSelector::from_object(selector).map(|it| it.matches(&labels))
            }
        };
        match matches {
            Ok(true) => {}
            Ok(false) => {
                let why = "`selector` does not match template `labels`";
                self.invalid("spec.template.metadata.labels", labels, why);
            }
            Err(_) => {
                let selector = selector.cloned().unwrap_or_default();
                self.invalid("spec.selector", selector, "invalid label selector");
            }
        }
        let policy = object.at("/spec/template/spec/restartPolicy").unwrap_or(&Value::Null);
        self.one_of("spec.template.spec.restartPolicy", policy, &["Always"]);
        if is_set(object, "/spec/template/spec/activeDeadlineSeconds") {
            let field = "spec.template.spec.activeDeadlineSeconds";
            let why = "activeDeadlineSeconds in ReplicaSet is not Supported";
            self.0.push(FieldError::forbidden(field, why));
        }
        let strategy = text(object, "/spec/strategy/type");
        if strategy == "Recreate" && object.at("/spec/strategy/rollingUpdate").is_some() {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            self.0.push(FieldError::forbidden("spec.strategy.rollingUpdate", why));
        } else if !matches!(strategy, "Recreate" | "RollingUpdate") {
            let shown = json!({"Type": strategy, "RollingUpdate": null});
            let allowed = ["Recreate", "RollingUpdate"].map(str::to_owned);
            self.0.push(FieldError::not_supported("spec.strategy", shown, &allowed));
        }
        self.not_negative(object, "spec.minReadySeconds");
        self.not_negative(object, "spec.revisionHistoryLimit");
        self.not_negative(object, "spec.progressDeadlineSeconds");
        let number = |pointer: &str| object.at(pointer).and_then(Value::as_i64);
        if let Some(deadline) = number("/spec/progressDeadlineSeconds")
            && deadline <= number("/spec/minReadySeconds").unwrap_or(0)
        {
            let why = "must be greater than minReadySeconds";
            self.invalid("spec.progressDeadlineSeconds", deadline, why);
        }
    }
}
