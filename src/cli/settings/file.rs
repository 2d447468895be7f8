//! The settings file on the disk: read whole, and written so that a power cut at any moment leaves
//! the old one or the new one.
//!
//! The new text goes into a file beside it, which reaches the disk before it takes the name; what was
//! there before stays as `NAME.previous`.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use ring::digest;

use crate::cli::config_file::FILE_BYTES;
use crate::shell::sys;

/// Permissions of a file that was not there before: it may hold passwords.
const MODE: u32 = 0o600;

/// Revision of a file that is not there.
pub const NO_FILE: &str = "none";

/// What a write does, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes the folder.
    Folder,
    /// Writes the old text beside the file.
    CopyOld,
    /// Gives it its name.
    NameOld,
    /// Writes the new text beside the file.
    WriteNew,
    /// Gives it the name of the file.
    NameNew,
    /// Has the folder written to the disk.
    Settle,
}

/// The bytes of a file, if it is there; one more than allowed at most.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// What tells one state of a file from another.
pub fn revision(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return NO_FILE.to_owned();
    };
    let digest = digest::digest(&digest::SHA256, bytes);
    let first = digest.as_ref().iter().take(12);
    first.map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file in place of the old one.
///
/// # Errors
///
/// Why it could not be written; the old one is as it was.
pub fn write(path: &Path, new: &[u8], old: Option<&[u8]>) -> io::Result<()> {
    write_by_steps(path, new, old, |_| Ok(()))
}

/// As [`write()`]; `before` is asked before each step.
pub fn write_by_steps(
    path: &Path,
    new: &[u8],
    old: Option<&[u8]>,
    mut before: impl FnMut(Step) -> io::Result<()>,
) -> io::Result<()> {
    let path = &real(path);
    let folder = folder(path);
    if !folder.is_dir() {
        before(Step::Folder)?;
        fs::create_dir_all(folder)?;
    }
    let like = fs::metadata(path).ok();
    if let Some(old) = old {
        let (aside, previous) = (beside(path, ".previous.new"), beside(path, ".previous"));
        before(Step::CopyOld)?;
        fill(&aside, old, like.as_ref())?;
        before(Step::NameOld)?;
        fs::rename(&aside, &previous)?;
    }
    let aside = beside(path, ".new");
    before(Step::WriteNew)?;
    let named = fill(&aside, new, like.as_ref())
        .and_then(|()| before(Step::NameNew))
        .and_then(|()| fs::rename(&aside, path));
    if let Err(error) = named {
        // It is of no use to anybody, and may hold passwords.
        let _ = fs::remove_file(&aside);
        return Err(error);
    }
    before(Step::Settle)?;
    File::open(folder)?.sync_all()
}

/// Whether a file could be written, or made.
///
/// # Errors
///
/// Why not, of its folder or the nearest one above it that is there.
pub fn can_write(path: &Path) -> io::Result<()> {
    let path = real(path);
    let mut folder = folder(&path);
    while !folder.exists() {
        let Some(above) = folder.parent() else {
            break;
        };
        folder = above;
    }
    sys::may_write(folder)
}

/// A file that is new, or is written anew, with the bytes on the disk.
fn fill(path: &Path, bytes: &[u8], like: Option<&fs::Metadata>) -> io::Result<()> {
    // One that a power cut left behind may be anybody's to read.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    if let Some(like) = like {
        // Only root may give files away; where we may not, it stays ours with its mode.
        let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
        file.set_permissions(fs::Permissions::from_mode(like.mode() & 0o7770))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The file that a path means, also where it is a link.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("trunkcast-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failure_at_any_step_leaves_the_old_file_or_the_new_one() {
        let scratch = Scratch::new("steps");
        let path = scratch.0.join("f.yml");
        let mut steps = Vec::new();
        fs::write(&path, "old").unwrap();
        write_by_steps(&path, b"old", Some(b"old"), |step| {
            steps.push(step);
            Ok(())
        })
        .unwrap();
        assert_eq!(steps.len(), 5, "{steps:?}");
        for failing in steps {
            fs::write(&path, "old").unwrap();
            let fails = |step| match step == failing {
                true => Err(io::Error::other("no more")),
                false => Ok(()),
            };
            let error = write_by_steps(&path, b"new", Some(b"old"), fails).unwrap_err();
            assert_eq!(error.to_string(), "no more");
            let is_new = failing == Step::Settle;
            let expected: &[u8] = if is_new { b"new" } else { b"old" };
            assert_eq!(fs::read(&path).unwrap(), expected, "{failing:?}");
            assert!(
                !names(&scratch.0).contains(&"f.yml.new".to_owned()),
                "{failing:?}"
            );
            // What came of it stands in nobody's way.
            write(&path, b"newer", Some(b"old")).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"newer");
        }
        assert_eq!(names(&scratch.0), ["f.yml", "f.yml.previous"]);
    }

    #[test]
    fn the_old_file_is_kept_and_permissions_stay() {
        let scratch = Scratch::new("modes");
        let path = scratch.0.join("deep/er/f.yml");
        write(&path, b"one", None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(&path, b"two", Some(b"one")).unwrap();
        let previous = beside(&path, ".previous");
        assert_eq!((mode(&path), mode(&previous)), (0o640, 0o640));
        assert_eq!(fs::read(&previous).unwrap(), b"one");
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_link_stays_one_and_its_file_is_written() {
        let scratch = Scratch::new("links");
        let (file, link) = (scratch.0.join("real.yml"), scratch.0.join("f.yml"));
        fs::write(&file, "one").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"two", Some(b"one")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"two");
    }

    #[test]
    fn what_lay_there_under_the_name_of_the_new_file_is_not_followed() {
        let scratch = Scratch::new("traps");
        let (path, victim) = (scratch.0.join("f.yml"), scratch.0.join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, scratch.0.join("f.yml.new")).unwrap();
        write(&path, b"new", None).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_file_that_cannot_be_made_says_why() {
        let scratch = Scratch::new("refused");
        let blocked = scratch.0.join("file");
        fs::write(&blocked, "x").unwrap();
        assert!(write(&blocked.join("f.yml"), b"x", None).is_err());
        assert!(can_write(&blocked.join("f.yml")).is_err());
        can_write(&scratch.0.join("a/b/c.yml")).unwrap();
        assert!(can_write(Path::new("/proc/self/f.yml")).is_err());
    }

    #[test]
    fn revisions_tell_states_apart() {
        let all = [revision(None), revision(Some(b"")), revision(Some(b"a"))];
        assert!(all[0] != all[1] && all[1] != all[2]);
        assert_eq!(revision(Some(b"a")), all[2]);
    }
}
