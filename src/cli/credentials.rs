//! Secrets that the service manager hands over as files (systemd.exec(5), CREDENTIALS), which settings
//! name in place of a value: `password: {credential: pbx}`.
//!
//! A credential is found by its name; what came with a whole folder, by its name after `trunkcast_`, which
//! is how the unit loads one. A line end at its end is not part of it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::base::redact::{OneLine, Secret};
use crate::cli::yaml::{Node, Value};

/// Names the folder of credentials.
const FOLDER: &str = "CREDENTIALS_DIRECTORY";

/// The key of a reference.
pub const KEY: &str = "credential";

/// What the names of files from a folder begin with.
const PREFIX: &str = "trunkcast_";

/// Bytes of a credential; the longest value of ours is an address.
const BYTES: u64 = 4_096;

/// Bytes of a name.
const NAME_BYTES: usize = 64;

/// Characters of a wrong name that are repeated.
const SHOWN_CHARS: usize = 48;

/// Where credentials are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere: whoever names one is told so.
    #[default]
    None,
    /// Nowhere now; there will be some when it matters.
    Later,
}

impl Credentials {
    /// Where the environment says.
    pub fn from_env() -> Self {
        let folder = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty());
        folder.map_or(Self::None, |folder| Self::Folder(folder.into()))
    }

    /// The value of a credential; nothing where there will be one later.
    ///
    /// # Errors
    ///
    /// Why there is none, in words that tell nothing of its content.
    pub fn read(&self, name: &str) -> Result<Option<Secret<String>>, String> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=NAME_BYTES).contains(&name.len()) && !name.starts_with('.');
        let shown = OneLine::new(name, SHOWN_CHARS);
        if !is_name || !name.bytes().all(is_known) {
            return Err(format!(
                "credential {shown}: its name may have letters, digits and -_."
            ));
        }
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Later => return Ok(None),
            Self::None => {
                return Err(format!(
                    "credential {shown}: none are given here ({FOLDER} is not set)"
                ));
            }
        };
        let names = [name.to_owned(), format!("{PREFIX}{name}")];
        for file in names {
            match content(&folder.join(file)) {
                Ok(text) => return Ok(Some(Secret::new(text))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("credential {shown}: {error}")),
            }
        }
        Err(format!(
            "credential {shown}: no such file in {}",
            folder.display()
        ))
    }
}

/// The name of the credential that a value refers to, if it does.
pub fn reference(node: &Node) -> Option<&str> {
    let Value::Map(entries) = &node.value else {
        return None;
    };
    match entries.as_slice() {
        [entry] if entry.key == KEY => match &entry.value.value {
            Value::Text(name) => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn content(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = File::open(path)?.take(BYTES.saturating_add(1));
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES {
        return Err(io::Error::other(format!("it has more than {BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is no text in UTF-8"))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_credential_is_found_by_its_name_with_and_without_the_folder_s() {
        let name = format!("trunkcast-credentials-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("pbx"), "hunter2\n").unwrap();
        fs::write(folder.join("trunkcast_cloud"), "a b\r\n").unwrap();
        fs::write(folder.join("binary"), b"\xff").unwrap();
        fs::write(folder.join("long"), [b'x'; 4_097]).unwrap();
        let given = Credentials::Folder(folder.clone());
        let read = |name: &str| {
            let read = given.read(name);
            read.map(|value| value.unwrap().expose().clone())
        };
        let found = [
            "pbx", "cloud", "binary", "long", "gone", "../pbx", ".pbx", "",
        ]
        .map(read);
        fs::remove_dir_all(&folder).unwrap();
        let name = |name: &str| {
            Err(format!(
                "credential {name}: its name may have letters, digits and -_."
            ))
        };
        assert_eq!(
            found,
            [
                Ok("hunter2".to_owned()),
                Ok("a b".to_owned()),
                Err("credential binary: it is no text in UTF-8".to_owned()),
                Err("credential long: it has more than 4096 bytes".to_owned()),
                Err(format!(
                    "credential gone: no such file in {}",
                    folder.display()
                )),
                name("../pbx"),
                name(".pbx"),
                name(""),
            ]
        );
        assert_eq!(Credentials::Later.read("pbx"), Ok(None));
        assert!(Credentials::None.read("pbx").is_err());
    }
}
