//! A USB stick with an update on it, as an administrator would bring one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::program::run;
use crate::support::scratch::Scratch;

/// A stick with one FAT file system on all of it.
pub struct Stick {
    folder: Scratch,
}

impl Stick {
    /// A stick with copies of those files.
    pub fn with(files: &[&Path]) -> Self {
        let folder = Scratch::new("stick");
        let image = folder.join("stick.img");
        let sizes = files
            .iter()
            .map(|file| fs::metadata(file).expect("a file").len());
        let size = sizes.sum::<u64>() + (16 << 20);
        let file = File::create(&image).expect("the test's own folder");
        file.set_len(size.next_multiple_of(1 << 20))
            .expect("a file can have a hole");
        run(Command::new("mkfs.vfat").args(["-n", "UPDATE"]).arg(&image));
        for file in files {
            run(Command::new("mcopy")
                .arg("-i")
                .arg(&image)
                .arg(file)
                .arg("::"));
        }
        Self { folder }
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        self.folder.join("stick.img")
    }
}
