//! Schemathesis against the description of the interface: requests made of its schemas, and of what
//! they forbid, are answered as it says.
//!
//! The gateway and it are alone in a network of their own: the hosts that it makes up to call are
//! nobody's.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Program, Scratch};

/// Checks that do not fit: a refusal of what the schema allows may have its reason in what there is at
/// that time, a call that was asked for may end at once, and an unknown method is a 501; known ones are
/// tried by `tests/rest_openapi.rs`.
const EXCLUDED: &str =
    "positive_data_acceptance,ensure_resource_availability,use_after_free,unsupported_method";

/// Starts the gateway, lets Schemathesis run, asks the gateway to end; exits as Schemathesis did,
/// unless the gateway did not end well.
const SCRIPT: &str = r#"
ip link set lo up
"$GATEWAY" run --config gateway.yml >gateway.log 2>&1 &
gateway=$!
PYTHONPATH="$TOOL" python3 -m schemathesis.cli --config-file "$CONFIG" run \
    http://127.0.0.1:8081/rest-api/openapi.json --wait-for-schema 10 --checks all \
    --exclude-checks "$EXCLUDED" \
    --phases examples,coverage,fuzzing --seed 1 --max-examples 25 --no-color \
    -H 'Authorization: Bearer hunter2'
result=$?
kill -TERM $gateway && wait $gateway || { cat gateway.log; exit 99; }
if grep -q -e panicked -e 'defect of this program' gateway.log; then cat gateway.log; exit 98; fi
exit $result
"#;

#[test]
fn every_answer_is_as_the_description_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = root.join("target/peers/schemathesis");
    assert!(
        tool.join("schemathesis").exists(),
        "{} is missing: tests/run real installs Schemathesis, or pip install --target {} \
         schemathesis==4.32.5",
        tool.display(),
        tool.display()
    );
    let folder = Scratch::new("schemathesis");
    folder.write(
        "gateway.yml",
        format!(
            "trunks:\n  test:\n    localPort: 40000\n    proxyIp: 127.0.0.1\n\
             rest: {{listen: \"127.0.0.1:8081\", password: hunter2}}\n\
             state: {{directory: {}}}\n",
            folder.path().display()
        ),
    );
    let mut run = Program::start(
        Command::new("unshare")
            .args(["-n", "sh", "-c", SCRIPT])
            .current_dir(folder.path())
            .env("GATEWAY", env!("CARGO_BIN_EXE_trunkcast"))
            .env("CONFIG", root.join("tests/data/schemathesis.toml"))
            .env("EXCLUDED", EXCLUDED)
            .env("TOOL", &tool)
            .env("HOME", folder.path()),
    );
    let status = run.wait(Duration::from_secs(300));
    let text = run.text();
    assert!(status.success(), "{status}:\n{text}");
    assert!(text.contains("Fuzzing") && !text.contains('❌'), "{text}");
}
