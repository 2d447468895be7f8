//! Parameters after a header value or within a URI: `;name=value;flag;other="quoted"`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_text::{Unbalanced, cut_at, find_bare, token, trim};

/// The parameters of a header value, as bytes that were checked once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a [u8]);

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param<'a> {
    /// Its name, in the case it was written.
    pub name: &'a str,
    /// Its value, quotes included; none for a bare name.
    pub value: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Takes what follows a header value: nothing, or `;` and parameters. One `;` at the very end is
    /// let through, as phones write it; an empty parameter elsewhere is not.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let bytes = trim(bytes);
        let params = match bytes.split_first() {
            None => Self(bytes),
            Some((b';', after)) => Self(after),
            Some(_) => return None,
        };
        let mut walk = params.walk();
        if walk.all(|param| param.is_some()) {
            Some(params)
        } else {
            None
        }
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = Param<'a>> + use<'a> {
        self.walk().map_while(|param| param)
    }

    /// The first parameter of that name, whatever its case.
    pub fn get(&self, name: &str) -> Option<Param<'a>> {
        self.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// The value of the first parameter of that name as a token.
    pub fn token(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.value.and_then(token)
    }

    /// How many parameters have that name.
    pub(super) fn count(&self, name: &str) -> usize {
        self.iter()
            .filter(|p| p.name.eq_ignore_ascii_case(name))
            .count()
    }

    /// Every parameter, or `None` in the place of the first broken one.
    fn walk(&self) -> impl Iterator<Item = Option<Param<'a>>> + use<'a> {
        let mut rest = trim(self.0);
        let mut broken = false;
        core::iter::from_fn(move || {
            if rest.is_empty() || broken {
                return None;
            }
            let (one, after) = match find_bare(rest, |b| b == b';') {
                Ok(Some(at)) => cut_at(rest, at),
                Ok(None) => (rest, Default::default()),
                Err(Unbalanced) => Default::default(),
            };
            rest = trim(after);
            let param = Param::parse(one);
            broken = param.is_none();
            Some(param)
        })
    }
}

impl<'a> Param<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (name, value) = match bytes.iter().position(|&b| b == b'=') {
            Some(at) => {
                let (name, value) = cut_at(bytes, at);
                (name, Some(trim(value)))
            }
            None => (bytes, None),
        };
        let name = token(trim(name))?;
        if value.is_some_and(|value| !is_value(value)) {
            return None;
        }
        Some(Self { name, value })
    }
}

/// A token, a host or a whole quoted string; more than the grammar allows (an empty value, which
/// some phones send), but nothing with space.
fn is_value(value: &[u8]) -> bool {
    match value {
        [b'"', middle @ .., b'"'] => {
            let mut escaped = false;
            let open = middle.iter().any(|&b| {
                let ends = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                ends
            });
            !open && !escaped
        }
        _ => !value
            .iter()
            .any(|&b| b <= b' ' || b == 0x7f || b"\"<>,;".contains(&b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_read_around_spaces_folds_and_quotes() {
        let params =
            Params::parse(b" ;\r\n tag = 98a ; lr;+sip.instance=\"<urn:uuid:1;2>\" ; q=0.3;")
                .unwrap();
        assert_eq!(params.token("TAG"), Some("98a"));
        assert_eq!(params.get("lr").unwrap().value, None);
        assert_eq!(
            params.get("+sip.instance").unwrap().value,
            Some(&b"\"<urn:uuid:1;2>\""[..])
        );
        assert_eq!(params.token("q"), Some("0.3"));
        assert_eq!(params.iter().count(), 4);
    }

    #[test]
    fn broken_parameters_are_refused() {
        for broken in [
            &b";;"[..],
            b";a=1;;b",
            b";=1",
            b"a=1",
            b";a=\"x",
            b";a=b c",
            b";a=\"x\"y\"",
            b";a b",
        ] {
            assert_eq!(Params::parse(broken), None, "{broken:?}");
        }
        assert_eq!(Params::parse(b"  "), Some(Params::default()));
    }
}
