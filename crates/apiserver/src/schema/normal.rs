//! Values as a server stores them that has read them into Go's types: quantities in one form (`apimachinery/pkg/api/resource`: `1000m`
//! is `1`, `0.5` is `500m`, `1024Mi` is `1Gi`), and without what `omitempty` leaves out.

use super::{Schema, Type};
use serde_json::Value;

/// The type of quantities.
pub(super) const NAME: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// Suffixes of powers of ten, with the power.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Suffixes of powers of two, in order: each is 1,024 times the one before it.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Digits of a number that are read; longer ones stay as they are.
const DIGITS_MAX: usize = 18;
/// The smallest unit, as a power of ten; what is below is rounded up.
const NANO: i32 = -9;

/// Types whose texts are values: an empty one is as good as none. (Behind a pointer it would be another thing than none.)
const PLAIN_TEXTS: [&str; 11] = [
    "ContainerPort",
    "ContainerStateTerminated",
    "ContainerStateWaiting",
    "ContainerStatus",
    "EnvVar",
    "JobCondition",
    "ObjectReference",
    "PodCondition",
    "PodStatus",
    "Taint",
    "Toleration",
];

impl Schema {
    /// Writes an object of a built-in kind as a server does that has read it.
    pub fn normalize(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => fields.retain(|name, below| {
                let Some(schema) = self.field(name) else { return true };
                // What is in the account of managed fields has no types.
                if name == "managedFields" {
                    return true;
                }
                if below.is_null()
                    && schema.kind == Type::Array
                    && self.required.iter().any(|one| one == name)
                {
                    *below = Value::Array(Vec::new());
                }
                schema.normalize(below);
                !self.omits(name, schema, below)
            }),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.normalize(item));
                }
            }
            Value::String(text) if self.is_quantity() => {
                if let Some(other) = canonical(text) {
                    *text = other;
                }
            }
            Value::Number(number) if self.is_quantity() => {
                let text = number.to_string();
                *value = canonical(&text).unwrap_or(text).into();
            }
            _ => {}
        }
    }

    /// Whether a field is left out when its value is this (`omitempty`): empty lists, maps and texts that need not be there.
    fn omits(&self, name: &str, schema: &Schema, value: &Value) -> bool {
        let is_free = || self.properties.contains_key(name) && !self.required.iter().any(|one| one == name);
        match value {
            Value::Array(items) => items.is_empty() && is_free(),
            Value::Object(fields) => fields.is_empty() && schema.additional.is_some() && is_free(),
            Value::String(text) if text.is_empty() => {
                let kind = self.name.as_deref().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
                PLAIN_TEXTS.contains(&kind) && is_free()
            }
            _ => false,
        }
    }

    pub(super) fn is_quantity(&self) -> bool {
        self.name.as_deref() == Some(NAME)
    }
}

/// How a suffix is meant.
#[derive(Clone, Copy)]
enum Format {
    Decimal,
    Exponent,
}

/// The one way to write a quantity; nothing if it stays as it is (`ParseQuantity`, `CanonicalizeBytes`).
fn canonical(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let sign = if text.starts_with('-') { "-" } else { "" };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    if !number.bytes().any(|c| c.is_ascii_digit()) {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let digits = format!("{whole}{fraction}");
    if digits.len() > DIGITS_MAX {
        return None;
    }
    let amount: i128 = digits.parse().ok()?;
    if amount == 0 {
        return (text != "0").then(|| "0".to_owned());
    }
    let places = -i32::try_from(fraction.len()).ok()?;
    if let Some(power) = BINARY.iter().skip(1).position(|one| *one == suffix) {
        if fraction.is_empty() && amount & 7 != 0 {
            return None;
        }
        let factor = 1_i128 << (10 * (power + 1));
        return Some(format!("{sign}{}", binary(amount.checked_mul(factor)?, places)?));
    }
    let (format, power) = match DECIMAL.iter().find(|(one, _)| *one == suffix) {
        Some((_, power)) => (Format::Decimal, *power),
        None => (Format::Exponent, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let scale = places.checked_add(power)?;
    if scale >= NANO && scale % 3 == 0 && !digits.ends_with("000") && !digits.starts_with('0') {
        return None;
    }
    Some(format!("{sign}{}", decimal(amount, scale, format)?))
}

/// A number of units, times a power of ten; in thousands of thousands as long as nothing is lost.
fn decimal(mut amount: i128, mut scale: i32, format: Format) -> Option<String> {
    while scale < NANO {
        amount = (amount + 9) / 10;
        scale += 1;
    }
    while amount % 10 == 0 {
        amount /= 10;
        scale += 1;
    }
    while scale % 3 != 0 {
        amount = amount.checked_mul(10)?;
        scale -= 1;
    }
    match (format, scale) {
        (Format::Exponent, 0) => Some(amount.to_string()),
        (Format::Exponent, scale) => Some(format!("{amount}e{scale}")),
        _ => {
            let (suffix, _) = DECIMAL.iter().find(|(_, power)| *power == scale)?;
            Some(format!("{amount}{suffix}"))
        }
    }
}

/// The same in powers of 1,024, unless it is small or no whole number.
fn binary(amount: i128, places: i32) -> Option<String> {
    let divisor = 10_i128.checked_pow(places.unsigned_abs())?;
    let whole = amount / divisor;
    if amount % divisor != 0 || whole < 1024 {
        return decimal(amount, places, Format::Decimal);
    }
    // Larger ones are cut to the largest that there is; nobody has that much.
    let mut rest = i64::try_from(whole).ok()?;
    let mut power = 0;
    while rest % 1024 == 0 && power + 1 < BINARY.len() {
        rest /= 1024;
        power += 1;
    }
    Some(format!("{rest}{}", BINARY[power]))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    /// The cases of `quantity_test.go`, and what the real parser leaves alone.
    #[test]
    fn quantities_are_written_in_one_way() {
        for (text, wanted) in [
            ("1000m", "1"),
            ("2000000m", "2k"),
            ("0.5", "500m"),
            ("0.0", "0"),
            ("1.0", "1"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.1Ki", "102400m"),
            ("8Ki", "8Ki"),
            ("1e4", "10e3"),
            ("0.1n", "1n"),
            ("-0.5", "-500m"),
            ("1000k", "1M"),
        ] {
            assert_eq!(canonical(text).as_deref().unwrap_or(text), wanted, "{text}");
        }
        for same in ["0", "1", "100m", "100Mi", "12345", "1e3", "1.500", "123456789012345678901", "x", ""] {
            assert_eq!(canonical(same), None, "{same}");
        }
    }
}
