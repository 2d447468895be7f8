//! What `board/qemuarm64/build-card` built.

use std::path::{Path, PathBuf};

/// The folder that it builds into.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/appliance/qemuarm64")
}

/// A file of it; the test fails where it is missing.
pub fn built(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(
        path.is_file(),
        "{} is missing: board/qemuarm64/build-card builds it, and so does tests/run appliance card",
        path.display()
    );
    path
}

/// Where what the cards said is kept.
pub fn log(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/appliance/logs");
    std::fs::create_dir_all(&folder).expect("a folder below target can be made");
    folder.join(format!("{name}.log"))
}
