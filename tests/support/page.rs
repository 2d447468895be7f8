//! The local page in a real browser: scripts of `tests/page`, run by node with playwright-core.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::rest::Rest;
use super::scratch::tests_folder;
use super::{Daemon, Program};

/// The password that tests set.
pub const PASSWORD: &str = "correct horse battery";
/// A secret of the settings that must never be told.
pub const SECRET: &str = "never-to-be-told";

/// A script under way.
pub struct Browsing {
    program: Program,
}

impl Browsing {
    /// Starts `tests/page/<name>.js` with its settings.
    pub fn start(name: &str, settings: Value) -> Self {
        let modules = node_modules();
        assert!(
            modules.join("playwright-core").is_dir(),
            "playwright-core is not in {}; see tests/run",
            modules.display()
        );
        let script = tests_folder().join("page").join(format!("{name}.js"));
        let program = Program::start(
            Command::new("node")
                .arg(script)
                .env("NODE_PATH", modules)
                .env("TEST", settings.to_string()),
        );
        Self { program }
    }

    /// Waits until the script says a line.
    pub fn wait_for(&self, line: &str, seconds: u64) -> String {
        self.program.wait_for(line, Duration::from_secs(seconds))
    }

    /// Waits for the end of the script, which must be content.
    pub fn succeed(mut self, seconds: u64) -> String {
        self.program.succeed(Duration::from_secs(seconds))
    }
}

/// Sets the password of a gateway's page as its first visitor.
pub fn set_password(gateway: &Daemon) {
    let body = json!({ "password": PASSWORD }).to_string();
    let mut page = Rest::connect(gateway.page());
    let (status, told) = page.ask("POST", "/page/password", "X-Trunkcast: 1\r\n", &body);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&told));
}

/// What every script is told of a gateway whose password is set.
pub fn settings_of(gateway: &Daemon) -> Value {
    json!({
        "url": format!("http://{}/", gateway.page()),
        "password": PASSWORD,
        "secret": SECRET,
        "file": file_of(gateway),
    })
}

/// The settings file of a gateway.
pub fn file_of(gateway: &Daemon) -> PathBuf {
    gateway.state().join("trunkcast.yml")
}

/// Where `tests/run` puts the packages of node.
fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/page/node_modules")
}
