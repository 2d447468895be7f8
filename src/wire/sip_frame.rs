//! Cuts a stream of bytes into SIP messages by Content-Length (RFC 3261 section 18.3), and finds the
//! keep-alives between them (RFC 5626 section 4.4.1).
//!
//! One fixed buffer for one connection. Any split of the stream gives the same messages; each byte
//! is looked at a bounded number of times. A message without a readable Content-Length ends the
//! stream, for no one can tell where the next one begins.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use super::sip_fault::SipFault;
use super::sip_index::SipHeaders;
use super::sip_message::first_line;
use crate::limits::SIP_MESSAGE_BYTES;

/// The framer of one connection.
#[derive(Debug)]
pub struct StreamFramer {
    buffer: Box<heapless::Vec<u8, SIP_MESSAGE_BYTES>>,
    /// Bytes at the front that were given out or skipped.
    used: usize,
    /// How far beyond `used` the empty line was looked for in vain.
    searched: usize,
    /// Length of the message at `used`, once its header fields are complete.
    message: Option<usize>,
    broken: bool,
}

/// What stands next in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamItem<'a> {
    /// A double CRLF: the peer wants one CRLF back.
    KeepAlive,
    /// A whole message, for `SipMessage::parse_stream`.
    Message(&'a [u8]),
    /// The header fields of a message whose end cannot be told. `SipMessage::parse_stream` says what
    /// is wrong, and whether it is to be answered before the connection is closed.
    Unframed(&'a [u8]),
}

/// Why a stream cannot go on; the connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// A message or its header fields do not fit into `SIP_MESSAGE_BYTES`.
    TooLarge,
    /// A message before had no end.
    Unframed,
}

impl Default for StreamFramer {
    fn default() -> Self {
        Self::new()
    }
}

impl StreamFramer {
    /// A framer at the start of a stream. Allocates its buffer, once.
    pub fn new() -> Self {
        Self {
            buffer: Box::default(),
            used: 0,
            searched: 0,
            message: None,
            broken: false,
        }
    }

    /// Takes as many of `bytes` as there is room for and gives their number. After fewer than all,
    /// call [`StreamFramer::next_item`] until it has nothing, then push the rest.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        self.compact();
        let room = self.buffer.capacity().saturating_sub(self.buffer.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        if self.buffer.extend_from_slice(taken).is_err() {
            return 0;
        }
        taken.len()
    }

    /// The next item, or nothing until more bytes come. An error stays.
    pub fn next_item(&mut self) -> Result<Option<StreamItem<'_>>, StreamError> {
        if self.broken {
            return Err(StreamError::Unframed);
        }
        if self.message.is_none() {
            if self.skip_line_ends() {
                return Ok(Some(StreamItem::KeepAlive));
            }
            let Some(head) = self.find_head() else {
                return self.wait();
            };
            match self.message_length(head) {
                Some(length) => self.message = Some(length),
                None => {
                    self.broken = true;
                    return Ok(self.give(head).map(StreamItem::Unframed));
                }
            }
        }
        let length = self.message.unwrap_or_default();
        if self.pending().len() < length {
            return self.wait();
        }
        self.message = None;
        Ok(self.give(length).map(StreamItem::Message))
    }

    /// Takes a single line end that is all there is: the answer to a keep-alive of ours.
    pub fn take_line_end(&mut self) -> bool {
        let is_line_end = self.message.is_none() && self.pending() == b"\r\n";
        if is_line_end {
            self.used = self.used.saturating_add(2);
            self.searched = 0;
        }
        is_line_end
    }

    /// Whether the first part of a message is there and its end is not.
    pub fn has_begun(&self) -> bool {
        self.pending()
            .iter()
            .any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// Drops the bytes given out. Done on pushing, so that an item may borrow them until then.
    fn compact(&mut self) {
        if self.used == 0 {
            return;
        }
        let length = self.buffer.len();
        self.buffer.copy_within(self.used.min(length).., 0);
        self.buffer.truncate(length.saturating_sub(self.used));
        self.used = 0;
    }

    fn pending(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Skips line ends before a message; true when a double CRLF was among them.
    fn skip_line_ends(&mut self) -> bool {
        loop {
            let skipped = match self.pending() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.used = self.used.saturating_add(4);
                    self.searched = 0;
                    return true;
                }
                // Perhaps the first half of a double one.
                [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return false,
                [b'\r' | b'\n', ..] => 1,
                _ => return false,
            };
            self.used = self.used.saturating_add(skipped);
            self.searched = 0;
        }
    }

    /// The length of start line and header fields with the empty line after them.
    fn find_head(&mut self) -> Option<usize> {
        let pending = self.pending();
        // The empty line may have begun up to two bytes before where the last search ended.
        let from = self.searched.saturating_sub(2);
        let searched = pending.len();
        let window = pending.get(from..).unwrap_or_default();
        let found = window.iter().enumerate().find_map(|(at, &byte)| {
            let after = window.get(at.saturating_add(1)..)?;
            let empty = match after {
                _ if byte != b'\n' => return None,
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return None,
            };
            from.checked_add(at)?.checked_add(1)?.checked_add(empty)
        });
        self.searched = searched;
        found
    }

    /// The length of the whole message whose first `head` bytes are known to be complete.
    fn message_length(&self, head: usize) -> Option<usize> {
        let (line, rest) = first_line(self.pending().get(..head)?)?;
        let indexed = SipHeaders::index(rest);
        // A broken line of another field is for the parser to refuse; the stream can go on after it.
        if line.is_empty() || indexed.fault == Some(SipFault::TooManyHeaders) {
            return None;
        }
        let body = indexed.headers.content_length().ok()??;
        head.checked_add(body)
            .filter(|&length| length <= self.buffer.capacity())
    }

    fn give(&mut self, length: usize) -> Option<&[u8]> {
        let start = self.used;
        self.used = start.saturating_add(length);
        self.searched = 0;
        self.buffer.get(start..self.used)
    }

    /// Waits for more, unless more could not be taken.
    fn wait(&self) -> Result<Option<StreamItem<'_>>, StreamError> {
        if self.pending().len() >= self.buffer.capacity() {
            return Err(StreamError::TooLarge);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items as owned text: `K`, `M<bytes>`, `U<bytes>`, `E<error>`.
    fn items(framer: &mut StreamFramer, bytes: &[u8]) -> Vec<String> {
        let mut items = Vec::new();
        let mut rest = bytes;
        loop {
            let taken = framer.push(rest);
            rest = &rest[taken..];
            loop {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                match framer.next_item() {
                    Ok(Some(StreamItem::KeepAlive)) => items.push("K".into()),
                    Ok(Some(StreamItem::Message(bytes))) => items.push(format!("M{}", text(bytes))),
                    Ok(Some(StreamItem::Unframed(bytes))) => {
                        items.push(format!("U{}", text(bytes)))
                    }
                    Ok(None) => break,
                    Err(error) => {
                        items.push(format!("E{error:?}"));
                        return items;
                    }
                }
            }
            if rest.is_empty() {
                return items;
            }
        }
    }

    const STREAM: &[u8] = b"\r\nA b SIP/2.0\r\nl: 4\r\n\r\n\r\n\r\n\r\n\r\n\r\nC d SIP/2.0\nX: y\nContent-Length :\r\n 0\n\n\r\n\r\n\nE f SIP/2.0\r\nbad line\r\nl: 1\r\n\r\nxG";

    #[test]
    fn any_split_of_a_stream_gives_the_same_items() {
        let wanted = [
            "MA b SIP/2.0\r\nl: 4\r\n\r\n\r\n\r\n",
            "K",
            "MC d SIP/2.0\nX: y\nContent-Length :\r\n 0\n\n",
            "K",
            "ME f SIP/2.0\r\nbad line\r\nl: 1\r\n\r\nx",
        ];
        for split in 0..=STREAM.len() {
            let mut framer = StreamFramer::new();
            let (before, after) = STREAM.split_at(split);
            let got = [items(&mut framer, before), items(&mut framer, after)].concat();
            assert_eq!(got, wanted, "split at {split}");
        }
        let mut framer = StreamFramer::new();
        let got: Vec<_> = STREAM
            .iter()
            .flat_map(|byte| items(&mut framer, &[*byte]))
            .collect();
        assert_eq!(got, wanted);
    }

    #[test]
    fn a_message_as_large_as_the_buffer_passes_and_a_larger_one_ends_the_stream() {
        let message = |total: usize| {
            let head = "A b SIP/2.0\r\nl: 00000\r\n\r\n".len();
            format!(
                "A b SIP/2.0\r\nl: {:05}\r\n\r\n{}",
                total - head,
                "x".repeat(total - head)
            )
        };
        let fits = message(SIP_MESSAGE_BYTES);
        let twice = [fits.as_bytes(), fits.as_bytes()].concat();
        assert_eq!(
            items(&mut StreamFramer::new(), &twice),
            [format!("M{fits}"), format!("M{fits}")]
        );
        let over = items(
            &mut StreamFramer::new(),
            message(SIP_MESSAGE_BYTES + 1).as_bytes(),
        );
        assert_eq!(over.len(), 2);
        assert!(over[0].starts_with("UA b"));
        assert_eq!(over[1], "EUnframed");
    }

    #[test]
    fn header_fields_without_end_end_the_stream() {
        let endless = "A: b\r\n".repeat(SIP_MESSAGE_BYTES / 6 + 1);
        assert_eq!(
            items(&mut StreamFramer::new(), endless.as_bytes()),
            ["ETooLarge"]
        );
    }

    #[test]
    fn a_message_without_a_length_is_the_last_item() {
        for length in ["X: y", "l: -1", "l: 1\r\nl: 1", "l: 99999", "l: 4294967296"] {
            let stream = format!("A b SIP/2.0\r\n{length}\r\n\r\nB c SIP/2.0\r\nl: 0\r\n\r\n");
            let got = items(&mut StreamFramer::new(), stream.as_bytes());
            assert_eq!(
                got,
                [
                    format!("UA b SIP/2.0\r\n{length}\r\n\r\n"),
                    "EUnframed".into()
                ]
            );
        }
    }

    #[test]
    fn one_line_end_is_no_keep_alive() {
        assert!(items(&mut StreamFramer::new(), b"\r\n").is_empty());
        assert_eq!(items(&mut StreamFramer::new(), b"\r\n\r\n\r\n"), ["K"]);
        assert_eq!(
            items(&mut StreamFramer::new(), b"\r\n\r\n\r\n\r\n"),
            ["K", "K"]
        );
    }
}
