//! The data partition of a card that is off.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::disk::Disk;

/// A copy of it, mended as the card does before it mounts it.
pub struct Data {
    image: PathBuf,
}

impl Data {
    /// Takes it out of a card, into a file.
    pub fn of(disk: &Disk, image: PathBuf) -> Self {
        disk.take_out(&disk.partition("data"), &image);
        let check = Command::new("/usr/sbin/e2fsck")
            .arg("-p")
            .arg(&image)
            .output();
        let check = check.expect("e2fsprogs are part of the system");
        let said = String::from_utf8_lossy(&check.stdout).into_owned();
        let code = check.status.code().unwrap_or(-1);
        assert!(code == 0 || code == 1, "e2fsck ended with {code}: {said}");
        Self { image }
    }

    /// A file of it; nothing where there is none.
    pub fn text(&self, path: &str) -> String {
        self.read(&format!("cat {path}"))
    }

    /// Copies a folder of it into one of this host; nothing where there is none.
    pub fn copy(&self, path: &str, to: &Path) {
        self.read(&format!("rdump {path} {}", to.display()));
    }

    fn read(&self, order: &str) -> String {
        let read = Command::new("/usr/sbin/debugfs")
            .args(["-R", order])
            .arg(&self.image)
            .output()
            .expect("e2fsprogs are part of the system");
        String::from_utf8_lossy(&read.stdout).into_owned()
    }
}
