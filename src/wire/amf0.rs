//! AMF0 values (Action Message Format 0), read in place and written into a fixed buffer.
//!
//! The reader gives one value after another and builds no tree: an object is a checked view over
//! its bytes that is walked property by property. Nesting is bounded, so a value costs a bounded
//! number of steps per byte. References, recordsets, movie clips and the switch to AMF3 are refused
//! as [`Amf0Error::Unsupported`].

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

/// Levels of objects and arrays within one another that are read; deeper ones are refused.
pub const MAX_DEPTH: u8 = 8;

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;
const UNSUPPORTED: u8 = 0x0d;
const XML_DOCUMENT: u8 = 0x0f;
const TYPED_OBJECT: u8 = 0x10;

/// Why bytes are not a value that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amf0Error {
    /// The bytes end inside a value.
    Truncated,
    /// A marker that this reader does not take.
    Unsupported(u8),
    /// Objects and arrays are nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl fmt::Display for Amf0Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("AMF0 value is cut short"),
            Self::Unsupported(marker) => write!(f, "AMF0 marker {marker:#04x} is not supported"),
            Self::TooDeep => f.write_str("AMF0 objects are nested too deep"),
        }
    }
}

/// One value, borrowing from the message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amf0<'a> {
    /// A double.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string, long string or XML document: UTF-8 by the book, any bytes in practice.
    String(&'a [u8]),
    /// An object, typed object or ECMA array, whole and checked.
    Object(Amf0Object<'a>),
    /// A strict array, whole and checked.
    Array(Amf0Array<'a>),
    /// Null, undefined or "unsupported".
    Null,
    /// A date in milliseconds since 1970.
    Date(f64),
}

impl<'a> Amf0<'a> {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        if let Self::Number(number) = self {
            Some(*number)
        } else {
            None
        }
    }

    /// The text, if it is a string and UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        if let Self::String(bytes) = self {
            core::str::from_utf8(bytes).ok()
        } else {
            None
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Boolean(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<Amf0Object<'a>> {
        if let Self::Object(object) = self {
            Some(*object)
        } else {
            None
        }
    }
}

/// The properties of an object or ECMA array; every one of them is known to be readable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amf0Object<'a>(&'a [u8]);

impl<'a> Amf0Object<'a> {
    /// Names and values in order.
    pub fn properties(&self) -> impl Iterator<Item = (&'a [u8], Amf0<'a>)> + use<'a> {
        let mut reader = Amf0Reader::new(self.0);
        core::iter::from_fn(move || {
            let name = reader.name().ok().filter(|_| !reader.is_empty())?;
            Some((name, reader.value().ok()?))
        })
    }

    /// The first property of this name.
    pub fn get(&self, name: &str) -> Option<Amf0<'a>> {
        self.properties()
            .find(|(key, _)| *key == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// The first property of this name, if it is a UTF-8 string.
    pub fn get_str(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }
}

/// The elements of a strict array.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Amf0Array<'a>(&'a [u8]);

impl<'a> Amf0Array<'a> {
    /// The values in order.
    pub fn values(&self) -> impl Iterator<Item = Amf0<'a>> + use<'a> {
        let mut reader = Amf0Reader::new(self.0);
        core::iter::from_fn(move || reader.value().ok())
    }
}

/// Reads one value after another.
#[derive(Clone, Copy, Debug)]
pub struct Amf0Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Amf0Reader<'a> {
    /// A reader from the first byte of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether every byte has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value, whole; at most [`MAX_DEPTH`] passes over its bytes.
    pub fn value(&mut self) -> Result<Amf0<'a>, Amf0Error> {
        self.value_at(0)
    }

    /// The next value if there is one and it is a number.
    pub fn number(&mut self) -> Option<f64> {
        self.value().ok()?.as_number()
    }

    /// The next value if there is one and it is a UTF-8 string.
    pub fn string(&mut self) -> Option<&'a str> {
        self.value().ok()?.as_str()
    }

    fn value_at(&mut self, depth: u8) -> Result<Amf0<'a>, Amf0Error> {
        Ok(match self.u8()? {
            NUMBER => Amf0::Number(self.f64()?),
            BOOLEAN => Amf0::Boolean(self.u8()? != 0),
            STRING => Amf0::String(self.name()?),
            LONG_STRING | XML_DOCUMENT => {
                let len = self.u32()?;
                Amf0::String(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            NULL | UNDEFINED | UNSUPPORTED => Amf0::Null,
            DATE => {
                let millis = self.f64()?;
                self.take(2)?;
                Amf0::Date(millis)
            }
            OBJECT => Amf0::Object(self.object(depth)?),
            TYPED_OBJECT => {
                self.name()?;
                Amf0::Object(self.object(depth)?)
            }
            ECMA_ARRAY => {
                // The count is a hint that writers get wrong; the end marker decides.
                self.u32()?;
                Amf0::Object(self.object(depth)?)
            }
            STRICT_ARRAY => {
                let count = self.u32()?;
                let start = self.rest;
                let depth = Self::deeper(depth)?;
                for _ in 0..count {
                    self.value_at(depth)?;
                }
                Amf0::Array(Amf0Array(self.since(start)))
            }
            marker => return Err(Amf0Error::Unsupported(marker)),
        })
    }

    fn object(&mut self, depth: u8) -> Result<Amf0Object<'a>, Amf0Error> {
        let depth = Self::deeper(depth)?;
        let start = self.rest;
        loop {
            let before = self.rest;
            let name = self.name()?;
            if name.is_empty() && self.rest.first() == Some(&OBJECT_END) {
                let len = start.len().saturating_sub(before.len());
                self.u8()?;
                return Ok(Amf0Object(start.get(..len).unwrap_or_default()));
            }
            self.value_at(depth)?;
        }
    }

    fn deeper(depth: u8) -> Result<u8, Amf0Error> {
        if depth < MAX_DEPTH {
            Ok(depth.saturating_add(1))
        } else {
            Err(Amf0Error::TooDeep)
        }
    }

    fn since(&self, start: &'a [u8]) -> &'a [u8] {
        start
            .get(..start.len().saturating_sub(self.rest.len()))
            .unwrap_or_default()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Amf0Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Amf0Error> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Amf0Error> {
        self.array().map(u32::from_be_bytes)
    }

    fn f64(&mut self) -> Result<f64, Amf0Error> {
        self.array().map(f64::from_be_bytes)
    }

    fn name(&mut self) -> Result<&'a [u8], Amf0Error> {
        let len = u16::from_be_bytes(self.array()?);
        self.take(usize::from(len))
    }
}

/// Writes values into a fixed buffer; what does not fit makes [`Self::finish`] return `None`.
#[derive(Debug)]
pub struct Amf0Writer<'a> {
    out: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl<'a> Amf0Writer<'a> {
    /// A writer from the start of `out`.
    pub fn new(out: &'a mut [u8]) -> Self {
        Self {
            out,
            len: 0,
            overflow: false,
        }
    }

    /// Bytes written, or `None` when something did not fit.
    pub fn finish(self) -> Option<usize> {
        if self.overflow { None } else { Some(self.len) }
    }

    /// A number.
    pub fn number(&mut self, value: f64) -> &mut Self {
        self.put(&[NUMBER]).put(&value.to_be_bytes())
    }

    /// A truth value.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.put(&[BOOLEAN, u8::from(value)])
    }

    /// A string of up to 65,535 bytes, which may be given in parts.
    pub fn string(&mut self, parts: &[&str]) -> &mut Self {
        self.put(&[STRING]).length_and(parts)
    }

    /// Null.
    pub fn null(&mut self) -> &mut Self {
        self.put(&[NULL])
    }

    /// Begins an object; properties follow as [`Self::name`] and a value, then [`Self::end`].
    pub fn object(&mut self) -> &mut Self {
        self.put(&[OBJECT])
    }

    /// Begins an ECMA array of `count` properties; continued like an object.
    pub fn ecma_array(&mut self, count: u32) -> &mut Self {
        self.put(&[ECMA_ARRAY]).put(&count.to_be_bytes())
    }

    /// Begins a strict array; exactly `count` values follow.
    pub fn strict_array(&mut self, count: u32) -> &mut Self {
        self.put(&[STRICT_ARRAY]).put(&count.to_be_bytes())
    }

    /// The name of the next property.
    pub fn name(&mut self, name: &str) -> &mut Self {
        self.length_and(&[name])
    }

    /// Ends an object or ECMA array.
    pub fn end(&mut self) -> &mut Self {
        self.put(&[0, 0, OBJECT_END])
    }

    fn length_and(&mut self, parts: &[&str]) -> &mut Self {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        match u16::try_from(len) {
            Ok(len) => {
                self.put(&len.to_be_bytes());
            }
            Err(_) => self.overflow = true,
        }
        for part in parts {
            self.put(part.as_bytes());
        }
        self
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len.saturating_add(bytes.len());
        match self.out.get_mut(self.len..end) {
            Some(to) if !self.overflow => {
                to.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.overflow = true,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn connect() -> Vec<u8> {
        let mut out = [0; 512];
        let mut writer = Amf0Writer::new(&mut out);
        writer.string(&["con", "nect"]).number(1.0).object();
        writer
            .name("app")
            .string(&["live"])
            .name("fourCcList")
            .strict_array(2);
        writer.string(&["avc1"]).string(&["*"]);
        writer
            .name("inner")
            .ecma_array(1)
            .name("yes")
            .boolean(true)
            .end();
        writer.name("none").null().end().null();
        let len = writer.finish().unwrap();
        out[..len].to_vec()
    }

    #[test]
    fn what_is_written_reads_back() {
        let bytes = connect();
        let mut reader = Amf0Reader::new(&bytes);
        assert_eq!(reader.string(), Some("connect"));
        assert_eq!(reader.number(), Some(1.0));
        let object = reader.value().unwrap().as_object().unwrap();
        assert_eq!(object.get_str("app"), Some("live"));
        let Some(Amf0::Array(list)) = object.get("fourCcList") else {
            panic!("no list")
        };
        let names: Vec<_> = list.values().filter_map(|value| value.as_str()).collect();
        assert_eq!(names, ["avc1", "*"]);
        let inner = object.get("inner").unwrap().as_object().unwrap();
        assert_eq!(inner.get("yes"), Some(Amf0::Boolean(true)));
        assert_eq!(object.get("none"), Some(Amf0::Null));
        assert_eq!(object.properties().count(), 4);
        assert_eq!(reader.value(), Ok(Amf0::Null));
        assert!(reader.is_empty());
        assert_eq!(reader.value(), Err(Amf0Error::Truncated));
    }

    #[test]
    fn a_full_buffer_is_told_and_not_overrun() {
        let mut out = [0; 10];
        let mut writer = Amf0Writer::new(&mut out);
        writer.number(1.0).number(2.0);
        assert_eq!(writer.finish(), None);
    }

    #[test]
    fn nesting_is_bounded() {
        let mut bytes = Vec::new();
        for _ in 0..1_000 {
            bytes.extend_from_slice(&[OBJECT, 0, 1, b'a']);
        }
        assert_eq!(Amf0Reader::new(&bytes).value(), Err(Amf0Error::TooDeep));
    }

    #[test]
    fn a_huge_array_count_ends_with_the_bytes() {
        let bytes = [STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, NULL, NULL];
        assert_eq!(Amf0Reader::new(&bytes).value(), Err(Amf0Error::Truncated));
    }

    fn walk(bytes: &[u8]) {
        let mut reader = Amf0Reader::new(bytes);
        while let Ok(value) = reader.value() {
            if let Amf0::Object(object) = value {
                assert!(object.properties().count() <= bytes.len());
            }
            if let Amf0::Array(array) = value {
                assert!(array.values().count() <= bytes.len());
            }
        }
    }

    #[test]
    fn truncated_and_mutated_values_never_panic() {
        let bytes = connect();
        for len in 0..bytes.len() {
            walk(&bytes[..len]);
        }
        let mut rng = Rng::from_number(1);
        for _ in 0..20_000 {
            let mut bytes = bytes.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u32) as usize;
                bytes[at] = rng.u32() as u8;
            }
            walk(&bytes);
        }
    }
}
