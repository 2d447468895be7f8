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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_together_are_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= ASSET_BYTES, "{bytes} bytes");
    }
}
