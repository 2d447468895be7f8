//! The fields of a request's body: read as loosely as clients write them, checked one by one.
//!
//! Booleans come as such and as text, numbers too; what is unknown is passed over. What a field
//! should have been is told with its name.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt;
use core::marker::PhantomData;
use std::borrow::Cow;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::gateway::http::exchange::Exchange;
use crate::gateway::rest::failure::Failure;
use crate::limits::HTTP_BODY_BYTES;

/// One field, as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// Not there, or null.
    #[default]
    Absent,
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Number(i128),
    /// A boolean.
    Bool(bool),
    /// Something that no field is.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Field::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Field::Number(value.into()))
    }

    /// `5060.0` is as whole a number as `5060`: some clients write all of theirs so.
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // At both ends stands what numbers without fraction are rounded to that do not fit.
        let fits = value > i64::MIN as f64 && value < u64::MAX as f64;
        Ok(match fits && value.fract() == 0.0 {
            true => Field::Number(value as i128),
            false => Field::Other,
        })
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }
}

/// A field that is a list of texts, or one text in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// Not there, or null.
    #[default]
    Absent,
    /// These; numbers are texts too.
    List(Vec<String>),
    /// Something else.
    Other,
}

impl Texts {
    /// Whether there is no such field.
    pub fn is_absent(&self) -> bool {
        *self == Self::Absent
    }

    /// Whether a text is among them.
    pub fn contains(&self, text: &str) -> bool {
        matches!(self, Self::List(list) if list.iter().any(|it| it == text))
    }

    /// Refuses what is no list of texts.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn check(&self, name: &'static str) -> Result<(), Failure> {
        match self {
            Self::Absent | Self::List(_) => Ok(()),
            Self::Other => Err(wrong(name, "a list of texts")),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Texts::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Texts::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Texts::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Texts::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Texts::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Texts::List(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Some(Vec::new());
        while let Some(field) = seq.next_element::<Field<'de>>()? {
            match (field, &mut list) {
                (Field::Text(text), Some(list)) => list.push(text.into_owned()),
                (Field::Number(number), Some(list)) => list.push(number.to_string()),
                _ => list = None,
            }
        }
        Ok(list.map_or(Texts::Other, Texts::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Texts::Other)
    }
}

/// A field that is an object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nested<T> {
    /// Not there, null, or empty text.
    #[default]
    Absent,
    /// An object.
    Object(T),
    /// Something else.
    Other,
}

impl<T> Nested<T> {
    /// The object; one without keys where there is none.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn object(self, name: &'static str) -> Result<T, Failure>
    where
        T: Default,
    {
        match self {
            Self::Absent => Ok(T::default()),
            Self::Object(object) => Ok(object),
            Self::Other => Err(wrong(name, "an object")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NestedVisitor(PhantomData))
    }
}

struct NestedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NestedVisitor<T> {
    type Value = Nested<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Nested::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Nested::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Nested::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Nested::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Nested::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(match text.is_empty() {
            true => Nested::Absent,
            false => Nested::Other,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Nested::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Nested::Object)
    }
}

impl Field<'_> {
    /// The text of a field, or of a number in its place; `None` where there is none or an empty one.
    ///
    /// # Errors
    ///
    /// It is something else, longer than `bytes`, or holds a control character.
    pub fn text(&self, name: &'static str, bytes: usize) -> Result<Option<String>, Failure> {
        let text = match self {
            Self::Absent => return Ok(None),
            Self::Text(text) => text.clone().into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Bool(_) | Self::Other => return Err(wrong(name, "text")),
        };
        if text.len() > bytes {
            return Err(wrong(name, format_args!("at most {bytes} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong(name, "text without control characters"));
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// The text of a field that must be there.
    ///
    /// # Errors
    ///
    /// As [`Self::text`], and where there is none.
    pub fn required(&self, name: &'static str, bytes: usize) -> Result<String, Failure> {
        let text = self.text(name, bytes)?;
        text.ok_or_else(|| wrong(name, "text; the field is missing or empty"))
    }

    /// The text of a field that names what may be there, or not: whatever it is.
    ///
    /// # Errors
    ///
    /// There is none, an empty one, or something else.
    pub fn name(&self, name: &'static str) -> Result<String, Failure> {
        match self {
            Self::Text(text) if !text.is_empty() => Ok(text.clone().into_owned()),
            other => other.required(name, HTTP_BODY_BYTES),
        }
    }

    /// A boolean, also as text; `default` where there is none.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn boolean(&self, name: &'static str, default: bool) -> Result<bool, Failure> {
        match self {
            Self::Absent => Ok(default),
            Self::Bool(value) => Ok(*value),
            Self::Text(text) if text.is_empty() => Ok(default),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(wrong(name, "true or false")),
        }
    }

    /// A port, also as text.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn port(&self, name: &'static str) -> Result<Option<u16>, Failure> {
        let expected = || wrong(name, "a port from 1 to 65535");
        let number = match self {
            Self::Absent => return Ok(None),
            Self::Text(text) if text.is_empty() => return Ok(None),
            Self::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| expected())?
            }
            Self::Number(number) => *number,
            _ => return Err(expected()),
        };
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        port.map(Some).ok_or_else(expected)
    }
}

/// A field that is not as it should be.
pub fn wrong(name: &'static str, expected: impl fmt::Display) -> Failure {
    Failure::bad_request(format!("{name}: expected {expected}"))
}

/// The name of a call, which must be there.
///
/// # Errors
///
/// It is not, or it is no text.
pub fn call_id(field: &Field<'_>) -> Result<String, Failure> {
    match field {
        Field::Absent => Err(wrong("callId", "text; the field is missing")),
        // The name of a call that came in is its caller's choice: whatever it is.
        Field::Text(text) => Ok(text.clone().into_owned()),
        other => other.required("callId", HTTP_BODY_BYTES),
    }
}

/// Takes the body of a request; one without a body is an empty object.
pub fn take(exchange: &mut Exchange<'_>) -> Vec<u8> {
    let body = exchange.take_body();
    match body.trim_ascii().is_empty() {
        true => b"{}".to_vec(),
        false => body,
    }
}

/// Reads the object that a body holds.
pub fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Failure> {
    let expected = || Failure::bad_request("the body: expected a JSON object");
    // What is read by name would be read by place from a list.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(expected());
    }
    serde_json::from_slice(body).map_err(|error| {
        // What serde says may hold a value, and values may be secret.
        match error.classify() {
            serde_json::error::Category::Data => {
                Failure::bad_request("the body: expected every field once")
            }
            _ => Failure::bad_request(format!(
                "the body: expected a JSON object; it breaks off or is none at line {} column {}",
                error.line(),
                error.column()
            )),
        }
    })
}

#[cfg(test)]
mod tests;
