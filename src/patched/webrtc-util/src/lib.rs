//! The part of `webrtc-util` that the `rtp` crate uses: the marshalling traits and their error.
//!
//! The published crate depends on tokio whatever its features are; this one has the same names and
//! version, so that `rtp` builds unchanged on top of it.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::fmt;

pub use marshal::{Marshal, MarshalSize, Unmarshal};

/// Writing and reading of wire structures.
pub mod marshal {
    use bytes::{Buf, Bytes, BytesMut};

    use crate::{Error, Result};

    /// The size of the wire form.
    pub trait MarshalSize {
        /// Bytes that the wire form takes.
        fn marshal_size(&self) -> usize;
    }

    /// Writing the wire form.
    pub trait Marshal: MarshalSize {
        /// Writes the wire form to the start of `buf`; the count of bytes written.
        fn marshal_to(&self, buf: &mut [u8]) -> Result<usize>;

        /// The wire form in a buffer of its own.
        fn marshal(&self) -> Result<Bytes> {
            let size = self.marshal_size();
            let mut buf = BytesMut::zeroed(size);
            let written = self.marshal_to(&mut buf)?;
            if written == size {
                Ok(buf.freeze())
            } else {
                Err(Error::Other(format!("{written} bytes written of {size}")))
            }
        }
    }

    /// Reading the wire form.
    pub trait Unmarshal: MarshalSize {
        /// Reads one value from the front of `buf`.
        fn unmarshal<B>(buf: &mut B) -> Result<Self>
        where
            Self: Sized,
            B: Buf;
    }
}

/// What a marshalling call answers.
pub type Result<T> = std::result::Result<T, Error>;

/// A marshalling error.
#[derive(Debug)]
pub enum Error {
    /// An error of the crate that implements the traits.
    Std(Box<dyn std::error::Error + Send + Sync>),
    /// Anything else, in words.
    Other(String),
}

impl Error {
    /// Wraps an error of the implementing crate.
    pub fn from_std<T: std::error::Error + Send + Sync + 'static>(error: T) -> Self {
        Self::Std(Box::new(error))
    }

    /// The wrapped error, when it is a `T`.
    pub fn downcast_ref<T: std::error::Error + 'static>(&self) -> Option<&T> {
        match self {
            Self::Std(error) => error.downcast_ref::<T>(),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Std(error) => error.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
