//! From a tree to typed values.
//!
//! A [`serde::Deserializer`] over [`Node`] whose errors say where. Three things differ from a usual one: a type can ask
//! for its place ([`Spanned`]) or for a scalar as written ([`Verbatim`]); with [`Strictness::Scenario`] an optional
//! field that is there must have a value; and a struct that ignores unknown fields, as the Kubernetes types do, has
//! them refused all the same, because it asks for a value to be ignored.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{StrDeserializer, UsizeDeserializer};
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, Visitor,
};

use super::mismatch::{Fault, Mismatch};
use super::{Kind, Node};
use crate::ast::{SourceFile, Spanned};

/// Name by which [`Spanned`] asks for its place.
const SPANNED: &str = "$towtank::Spanned";
/// Name by which [`Verbatim`] asks for the text of a scalar.
const VERBATIM: &str = "$towtank::Verbatim";
/// Name by which [`Nullable`] asks whether there is a value.
const NULLABLE: &str = "$towtank::Nullable";

/// What a missing value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// A field without a value is a mistake.
    Scenario,
    /// A field without a value is a field that is not there.
    Kubernetes,
}

/// Reads a `T` from `node`, which must be part of `source`.
pub(crate) fn from_node<T: DeserializeOwned>(
    source: &SourceFile,
    node: &Node,
    strictness: Strictness,
) -> Result<T, Mismatch> {
    T::deserialize(NodeDeserializer { node, text: &source.text, strictness, unknown_field: None })
        .map_err(|mismatch| mismatch.at(&node.span))
}

/// A scalar as it is written, whatever type YAML gives it: `1.30` stays `1.30`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verbatim(pub(crate) String);

impl JsonSchema for Verbatim {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A value, or an explicit null.
#[derive(Clone, Debug, PartialEq, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Nullable<T> {
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<T> Nullable<T> {
    /// The value, when it is not null.
    pub(crate) fn into_option(self) -> Option<T> {
        match self {
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }
}

struct NodeDeserializer<'a> {
    node: &'a Node,
    /// The file that the node is part of.
    text: &'a str,
    strictness: Strictness,
    /// Set for the value of a struct's field: the key's place and text, and the fields that the struct has.
    unknown_field: Option<(&'a super::Key, &'static [&'static str])>,
}

impl<'a> NodeDeserializer<'a> {
    /// The deserializer of a node within this one.
    fn child(&self, node: &'a Node) -> Self {
        NodeDeserializer { node, text: self.text, strictness: self.strictness, unknown_field: None }
    }

    fn wrong_type(&self, expected: &str) -> Mismatch {
        Mismatch {
            span: Some(self.node.span.clone()),
            fault: Fault::WrongType { expected: expected.to_owned(), found: self.node.in_words() },
        }
    }

    /// The text of a scalar: what is quoted, or what stands in the file.
    fn verbatim(&self) -> Option<&'a str> {
        match &self.node.kind {
            Kind::Text(text) => Some(text),
            Kind::Bool(_) | Kind::Int(_) | Kind::UInt(_) | Kind::Float(_) => {
                self.text.get(self.node.span.clone()).map(str::trim)
            }
            Kind::Null | Kind::Seq(_) | Kind::Map(_) => None,
        }
    }

    fn visit_map<V: Visitor<'a>>(
        self,
        entries: &'a [(super::Key, Node)],
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        let span = entries.first().map_or(&self.node.span, |(key, _)| &key.span).clone();
        let access = Entries { parent: self, entries: entries.iter(), value: None, fields };
        visitor.visit_map(access).map_err(|mismatch| mismatch.at(&span))
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        let node = self.node;
        let value = match &node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Int(value) => visitor.visit_i64(*value),
            Kind::UInt(value) => visitor.visit_u64(*value),
            Kind::Float(value) => visitor.visit_f64(*value),
            Kind::Text(value) => visitor.visit_str(value),
            Kind::Seq(items) => visitor.visit_seq(Items { parent: self, items: items.iter() }),
            Kind::Map(entries) => self.visit_map(entries, None, visitor),
        };
        value.map_err(|mismatch| mismatch.at(&node.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match (&self.node.kind, self.strictness) {
            (Kind::Null, Strictness::Kubernetes) => visitor.visit_none(),
            _ => visitor.visit_some(NodeDeserializer { unknown_field: None, ..self }),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match &self.node.kind {
            _ if name == SPANNED => visitor.visit_seq(Place { node: self, part: 0 }),
            Kind::Map(entries) => self.visit_map(entries, Some(fields), visitor),
            _ => Err(self.wrong_type("a mapping")),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match name {
            VERBATIM => match self.verbatim() {
                Some(text) => visitor.visit_str(text),
                None => Err(self.wrong_type("a text")),
            },
            NULLABLE if matches!(self.node.kind, Kind::Null) => visitor.visit_unit(),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.unknown_field {
            Some((key, fields)) => Err(Mismatch {
                span: Some(key.span.clone()),
                fault: Fault::UnknownField(key.text.clone(), fields),
            }),
            None => visitor.visit_unit(),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match &self.node.kind {
            Kind::Text(text) => visitor
                .visit_enum(text.as_str().into_deserializer())
                .map_err(|m: Mismatch| m.at(&self.node.span)),
            Kind::Map(entries) if let [entry] = entries.as_slice() => {
                visitor.visit_enum(Variant { parent: self, entry }).map_err(|m| m.at(&entry.0.span))
            }
            _ => Err(self.wrong_type(&format!("one of `{}`", variants.join("`, `")))),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit_struct seq tuple
        tuple_struct map identifier
    }
}

/// The elements of a list.
struct Items<'a> {
    parent: NodeDeserializer<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let value = seed.deserialize(self.parent.child(item)).map_err(|mismatch| mismatch.at(&item.span))?;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The entries of a mapping.
struct Entries<'a> {
    parent: NodeDeserializer<'a>,
    entries: std::slice::Iter<'a, (super::Key, Node)>,
    value: Option<&'a (super::Key, Node)>,
    /// The fields of the struct that is filled; absent for maps with free keys.
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key = StrDeserializer::<Mismatch>::new(&entry.0.text);
        seed.deserialize(key).map(Some).map_err(|mismatch| mismatch.at(&entry.0.span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mismatch> {
        let Some((key, node)) = self.value.take() else {
            return Err(Mismatch::custom("a value was asked for before its key"));
        };
        let unknown_field = self.fields.map(|fields| (key, fields));
        // A field without a value has no place of its own: the key stands in for it.
        let span = if node.span.is_empty() { &key.span } else { &node.span };
        seed.deserialize(NodeDeserializer { unknown_field, ..self.parent.child(node) }).map_err(|mismatch| {
            let is_at_nothing = mismatch.span.as_ref().is_some_and(|at| *at == node.span);
            if is_at_nothing { Mismatch { span: Some(span.clone()), ..mismatch } } else { mismatch.at(span) }
        })
    }
}

/// A mapping of one entry, read as an enum: `{down: node-3}`.
struct Variant<'a> {
    parent: NodeDeserializer<'a>,
    entry: &'a (super::Key, Node),
}

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Mismatch;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Mismatch> {
        let name = StrDeserializer::<Mismatch>::new(&self.entry.0.text);
        let variant = seed.deserialize(name).map_err(|mismatch| mismatch.at(&self.entry.0.span))?;
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de> {
    type Error = Mismatch;

    fn unit_variant(self) -> Result<(), Mismatch> {
        Err(self.parent.wrong_type(&format!("just `{}`", self.entry.0.text)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mismatch> {
        let (key, node) = self.entry;
        let span = if node.span.is_empty() { &key.span } else { &node.span };
        seed.deserialize(self.parent.child(node)).map_err(|mismatch| mismatch.at(span))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Mismatch> {
        Err(self.parent.wrong_type("another form"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Mismatch> {
        Err(self.parent.wrong_type("another form"))
    }
}

/// The three parts of a [`Spanned`]: start, end, value.
struct Place<'a> {
    node: NodeDeserializer<'a>,
    part: u8,
}

impl<'de> SeqAccess<'de> for Place<'de> {
    type Error = Mismatch;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mismatch> {
        self.part += 1;
        let span = &self.node.node.span;
        match self.part {
            1 => seed.deserialize(UsizeDeserializer::new(span.start)).map(Some),
            2 => seed.deserialize(UsizeDeserializer::new(span.end)).map(Some),
            3 => seed.deserialize(self.node.child(self.node.node)).map(Some),
            _ => Ok(None),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    /// Only values that come from a scenario file have a place: any other deserializer fails.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PlaceVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for PlaceVisitor<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Spanned<T>, A::Error> {
                let missing = || A::Error::custom("a value without its place");
                let start: usize = seq.next_element()?.ok_or_else(missing)?;
                let end: usize = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(Spanned { value, span: start..end })
            }
        }

        deserializer.deserialize_struct(
            SPANNED,
            &["start", "end", "value"],
            PlaceVisitor(std::marker::PhantomData),
        )
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl<'de> Deserialize<'de> for Verbatim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Verbatim;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Verbatim, E> {
                Ok(Verbatim(text.to_owned()))
            }
        }

        deserializer.deserialize_newtype_struct(VERBATIM, TextVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NullVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for NullVisitor<T> {
            type Value = Nullable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or null")
            }

            fn visit_unit<E>(self) -> Result<Nullable<T>, E> {
                Ok(Nullable::Null)
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<Nullable<T>, D::Error> {
                T::deserialize(value).map(Nullable::Value)
            }
        }

        deserializer.deserialize_newtype_struct(NULLABLE, NullVisitor(std::marker::PhantomData))
    }
}
