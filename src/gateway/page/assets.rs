//! The files of the page, compiled into the program.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use core::fmt::Write as _;
use std::sync::OnceLock;

use ring::digest;

use crate::gateway::page::Reply;

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Where it is asked for.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// The file itself.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html;charset=UTF-8";
const CSS: &str = "text/css;charset=UTF-8";
const JS: &str = "text/javascript;charset=UTF-8";
const SVG: &str = "image/svg+xml";

/// Bytes of all of them together.
pub const ASSET_BYTES: usize = 100 * 1_024;

/// Every file.
pub const ASSETS: &[Asset] = &[
    asset("/", HTML, include_bytes!("assets/index.html")),
    asset("/page.css", CSS, include_bytes!("assets/page.css")),
    asset("/page.js", JS, include_bytes!("assets/page.js")),
    asset("/ui.js", JS, include_bytes!("assets/ui.js")),
    asset("/now.js", JS, include_bytes!("assets/now.js")),
    asset("/setup.js", JS, include_bytes!("assets/setup.js")),
    asset("/settings.js", JS, include_bytes!("assets/settings.js")),
    asset("/words.js", JS, include_bytes!("assets/words.js")),
    asset("/live.js", JS, include_bytes!("assets/live.js")),
    asset("/icon.svg", SVG, include_bytes!("assets/icon.svg")),
];

const fn asset(path: &'static str, kind: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { path, kind, bytes }
}

/// The file at a path.
pub fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// The answer to who asks for a file and has that of these tags (RFC 9110, section 13.1.2).
pub(super) fn answer(asset: &Asset, tags: Option<&str>) -> Reply {
    let tag = tag(asset);
    let known = |known: &str| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    };
    let is_known = tags.is_some_and(|tags| tags.split(',').any(known));
    let (status, body) = match is_known {
        true => (304, Vec::new()),
        false => (200, asset.bytes.to_vec()),
    };
    Reply::new(status, asset.kind, body).header("ETag", tag)
}

/// The tag of a file: what it holds decides.
fn tag(asset: &Asset) -> String {
    static TAGS: OnceLock<Vec<String>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| ASSETS.iter().map(|asset| tag_of(asset.bytes)).collect());
    let at = ASSETS.iter().position(|known| known.path == asset.path);
    at.and_then(|at| tags.get(at)).cloned().unwrap_or_default()
}

fn tag_of(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut text = String::from("\"");
    for byte in digest.as_ref().iter().take(12) {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= ASSET_BYTES, "{bytes} bytes");
    }
}
