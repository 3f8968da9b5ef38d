//! Bodies in the binary form (`application/vnd.kubernetes.protobuf`), as typed clients such as `kubectl` send them.
//!
//! A body is the four bytes `k8s\0` and a `runtime.Unknown` that holds the type and the object. Numbers and names of
//! fields are in `protobuf_fields.txt`, made by `examples/proto_fields.rs`. There is no encoder: answers are JSON, which
//! such clients accept too. Definitions of custom resources have no binary form here.

use crate::error::{ApiError, Result};
use serde_json::{Map, Number, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// How a body begins.
pub const MAGIC: &[u8] = b"k8s\0";
/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

const TABLE: &str = include_str!("protobuf_fields.txt");
/// Deepest nesting of messages.
const DEPTH_MAX: usize = 64;

/// A field of a message.
#[derive(Debug)]
struct Field {
    name: &'static str,
    kind: &'static str,
    /// A zero is as good as absent.
    zero: bool,
}

type Messages = BTreeMap<&'static str, BTreeMap<u64, Field>>;

fn messages() -> &'static Messages {
    static MESSAGES: OnceLock<Messages> = OnceLock::new();
    MESSAGES.get_or_init(|| {
        let mut messages = Messages::new();
        let mut name = "";
        for line in TABLE.lines() {
            if let Some(next) = line.strip_prefix("> ") {
                name = next;
            }
            let mut words = line.split(' ');
            let number = words.next().and_then(|word| word.parse().ok());
            if let (Some(number), Some(field), Some(kind)) = (number, words.next(), words.next()) {
                let field = Field { name: field, kind, zero: words.next() == Some("z") };
                messages.entry(name).or_default().insert(number, field);
            }
        }
        messages
    })
}

fn wrong(why: &str) -> ApiError {
    ApiError::bad_request(format!("the object provided is unrecognized (must be of type Kind): {why}"))
}

/// Decodes a body to JSON, with `apiVersion` and `kind`.
pub fn decode(body: &[u8]) -> Result<Value> {
    let Some(body) = body.strip_prefix(MAGIC) else {
        let start: Vec<_> = body.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        return Err(wrong(&format!(
            "provided data does not appear to be a protobuf message, expected prefix {} and got {}",
            "6b383300",
            start.concat()
        )));
    };
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in Parts(body) {
        match part? {
            (1, Wire::Bytes(bytes)) => {
                for part in Parts(bytes) {
                    match part? {
                        (1, Wire::Bytes(text)) => version = utf8(text)?,
                        (2, Wire::Bytes(text)) => kind = utf8(text)?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = message_name(&version, &kind);
    if !messages().contains_key(name.as_str()) {
        return Err(wrong(&format!(
            "no kind {kind:?} is registered for version {version:?} in its binary form"
        )));
    }
    let mut object = Map::new();
    object.insert("apiVersion".into(), version.into());
    object.insert("kind".into(), kind.into());
    read_message(&name, raw, &mut object, 0)?;
    Ok(Value::Object(object))
}

/// `batch/v1` and `Job` is `batch.v1.Job`. Options are in every group.
fn message_name(version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta.v1.DeleteOptions".to_owned();
    }
    let (group, version) = version.split_once('/').unwrap_or(("core", version));
    let group = group.split('.').next().unwrap_or(group);
    format!("{group}.{version}.{kind}")
}

fn read_message(name: &str, bytes: &[u8], object: &mut Map<String, Value>, depth: usize) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(wrong("nested too deeply"));
    }
    let Some(fields) = messages().get(name) else { return Err(wrong(&format!("unknown message {name}"))) };
    for part in Parts(bytes) {
        let (number, wire) = part?;
        // Fields of newer versions are skipped, as protobuf wants it.
        let Some(field) = fields.get(&number) else { continue };
        if field.name == "~" {
            if let Wire::Bytes(bytes) = wire {
                read_message(field.kind, bytes, object, depth + 1)?;
            }
            continue;
        }
        if let Some(kind) = field.kind.strip_prefix('*') {
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            let Value::Array(list) = list else { continue };
            match (kind, wire) {
                // Numbers may be packed.
                ("i", Wire::Bytes(mut bytes)) => {
                    while !bytes.is_empty() {
                        list.push(json!(varint(&mut bytes)? as i64));
                    }
                }
                (kind, wire) => list.push(read_value(kind, wire, depth)?),
            }
        } else if let Some(kind) = field.kind.strip_prefix('%') {
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            if let (Value::Object(map), Wire::Bytes(entry)) = (map, wire) {
                read_entry(kind, entry, map, depth)?;
            }
        } else {
            let value = read_value(field.kind, wire, depth)?;
            let empty = match &value {
                Value::String(text) => text.is_empty(),
                Value::Number(number) => number.as_i64() == Some(0),
                Value::Bool(flag) => !flag,
                Value::Null => true,
                _ => false,
            };
            if !(empty && (field.zero || value.is_null())) {
                object.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn read_entry(kind: &str, entry: &[u8], map: &mut Map<String, Value>, depth: usize) -> Result<()> {
    let (mut key, mut value) = (String::new(), None);
    for part in Parts(entry) {
        match part? {
            (1, Wire::Bytes(text)) => key = utf8(text)?,
            (2, wire) => value = Some(read_value(kind, wire, depth)?),
            _ => {}
        }
    }
    map.insert(key, value.map_or_else(|| read_value(kind, Wire::Bytes(&[]), depth), Ok)?);
    Ok(())
}

fn read_value(kind: &str, wire: Wire<'_>, depth: usize) -> Result<Value> {
    let value = match (kind, wire) {
        ("s", Wire::Bytes(text)) => Value::String(utf8(text)?),
        ("b", Wire::Bytes(bytes)) => Value::String(base64(bytes)),
        ("t", Wire::Number(number)) => Value::Bool(number != 0),
        ("i", Wire::Number(number)) => json!(number as i64),
        ("f", Wire::Eight(bits)) => Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number),
        ("Quantity", Wire::Bytes(bytes)) => {
            let text = Parts(bytes).find_map(|part| match part {
                Ok((1, Wire::Bytes(text))) => Some(utf8(text)),
                _ => None,
            });
            // An empty quantity is zero.
            let text = text.transpose()?.filter(|text| !text.is_empty());
            Value::String(text.unwrap_or_else(|| "0".to_owned()))
        }
        ("IntOrString", Wire::Bytes(bytes)) => {
            let (mut is_text, mut number, mut text) = (false, 0, String::new());
            for part in Parts(bytes) {
                match part? {
                    (1, Wire::Number(kind)) => is_text = kind == 1,
                    (2, Wire::Number(value)) => number = value as i64,
                    (3, Wire::Bytes(value)) => text = utf8(value)?,
                    _ => {}
                }
            }
            if is_text { Value::String(text) } else { json!(number) }
        }
        ("Time" | "MicroTime", Wire::Bytes(bytes)) => time(bytes, kind == "MicroTime")?,
        ("RawExtension", Wire::Bytes(bytes)) => {
            let raw = Parts(bytes).find_map(|part| match part {
                Ok((1, Wire::Bytes(raw))) => Some(raw),
                _ => None,
            });
            match raw.filter(|raw| !raw.is_empty()) {
                Some(raw) => serde_json::from_slice(raw).map_err(|why| wrong(&why.to_string()))?,
                None => Value::Null,
            }
        }
        ("Items", Wire::Bytes(bytes)) => {
            let mut items = Vec::new();
            for part in Parts(bytes) {
                if let (1, Wire::Bytes(text)) = part? {
                    items.push(Value::String(utf8(text)?));
                }
            }
            Value::Array(items)
        }
        (name, Wire::Bytes(bytes)) if name.contains('.') => {
            let mut object = Map::new();
            read_message(name, bytes, &mut object, depth + 1)?;
            Value::Object(object)
        }
        (kind, wire) => return Err(wrong(&format!("proto: wrong wireType {wire:?} for {kind}"))),
    };
    Ok(value)
}

/// RFC 3339 from seconds and nanoseconds; an empty message is no time.
fn time(bytes: &[u8], micros: bool) -> Result<Value> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0_i64, 0_u64);
    for part in Parts(bytes) {
        match part? {
            (1, Wire::Number(value)) => seconds = value as i64,
            (2, Wire::Number(value)) => nanos = value,
            _ => {}
        }
    }
    // Civil date from days since 1970, by eras of 400 years.
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days.checked_add(719_468).ok_or_else(|| wrong("time out of range"))?;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let fraction = if micros { format!(".{:06}", nanos / 1_000) } else { String::new() };
    Ok(Value::String(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn utf8(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| wrong("a text is not UTF-8"))
}

/// A value on the wire.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Eight(u64),
    Four,
    Bytes(&'a [u8]),
}

/// The fields of a message, by number. Ends after the first mistake.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<(u64, Wire<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.0 = &[];
        }
        Some(part)
    }
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> Result<(u64, Wire<'a>)> {
        let tag = varint(&mut self.0)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(&mut self.0)?),
            1 => Wire::Eight(self.take(8)?.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte))),
            2 => {
                let length = varint(&mut self.0)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Wire::Four)?,
            _ => return Err(wrong("proto: wrong wireType")),
        };
        Ok((tag >> 3, wire))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(|| wrong("unexpected EOF"))?;
        self.0 = rest;
        Ok(bytes)
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or_else(|| wrong("unexpected EOF"))?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(wrong("proto: integer overflow"))
}

#[cfg(test)]
#[path = "protobuf_tests.rs"]
mod tests;
