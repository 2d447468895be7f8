//! Schemathesis against the description of the interface: requests made of its schemas, and of what
//! they forbid, are answered as it says; and what its links lead to is there.
//!
//! The gateway and those who ask it are alone in a network of their own: the hosts that Schemathesis
//! makes up to call are nobody's.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Program, Scratch};

/// Starts the gateway, lets Schemathesis run, asks the gateway to end; exits as Schemathesis did,
/// unless the gateway did not end well.
const SCRIPT: &str = r#"
ip link set lo up
if [ -n "$CALLEE" ]; then
    setpriv --pdeathsig KILL sipp -sn uas -i 127.0.0.1 -p 5060 -nostdin >sipp.log 2>&1 &
fi
setpriv --pdeathsig KILL "$GATEWAY" run --config gateway.yml >gateway.log 2>&1 &
gateway=$!
PYTHONPATH="$TOOL" python3 -m schemathesis.cli --config-file "$CONFIG" run \
    http://127.0.0.1:8081/rest-api/openapi.json --wait-for-schema 10 --checks all --no-color \
    -H 'Authorization: Bearer hunter2' "$@"
result=$?
kill -TERM $gateway && wait $gateway || { cat gateway.log; exit 99; }
if grep -q -e panicked -e 'defect of this program' gateway.log; then cat gateway.log; exit 98; fi
exit $result
"#;

/// The methods by which calls, streams, pushes and recordings lead to one another.
const LINKED: [&str; 15] = [
    "callStartup",
    "callFind",
    "callTerminate",
    "callSendDtmf",
    "callInjectStreamStartup",
    "callInjectStreamTerminate",
    "pushStartup",
    "pushMute",
    "pushUnmute",
    "pushSoundOff",
    "pushTerminate",
    "streamFind",
    "streamTerminate",
    "recorderStartup",
    "recorderTerminate",
];

/// What Schemathesis prints when run with these arguments, without a failure.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> String {
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
    let place = folder.path().display();
    folder.write(
        "gateway.yml",
        format!(
            "trunks:\n  test:\n    localPort: 40000\n    proxyIp: 127.0.0.1\n\
             rest: {{listen: \"127.0.0.1:8081\", password: hunter2}}\n\
             state: {{directory: {place}}}\n\
             files: {{directory: {place}}}\n\
             recording: {{directory: {place}/recordings}}\n",
        ),
    );
    let mut run = Program::start(
        Command::new("unshare")
            .args(["-n", "sh", "-c", SCRIPT, "sh"])
            .args(arguments)
            .current_dir(folder.path())
            .env("GATEWAY", env!("CARGO_BIN_EXE_trunkcast"))
            .env("CONFIG", root.join("tests/data/schemathesis.toml"))
            .env("TOOL", &tool)
            .env("HOME", folder.path())
            .envs(variables.iter().copied()),
    );
    let status = run.wait(Duration::from_secs(300));
    let text = run.text();
    assert!(
        status.success() && !text.contains('❌'),
        "{status}:\n{text}"
    );
    text
}

#[test]
fn every_answer_is_as_the_description_says() {
    let text = run(&["--seed", "1", "--max-examples", "25"], &[]);
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(text.contains(&format!("✅ {phase}")), "{phase}:\n{text}");
    }
}

#[test]
fn what_is_begun_is_where_the_links_lead_until_it_is_ended() {
    let states = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/schemathesis_states.py"
    );
    let mut arguments = vec!["--phases", "stateful", "--mode", "positive", "--seed", "1"];
    arguments.extend(["--max-examples", "100"]);
    for method in LINKED {
        arguments.extend(["--include-operation-id", method]);
    }
    let text = run(
        &arguments,
        &[("SCHEMATHESIS_HOOKS", states), ("CALLEE", "answers")],
    );
    let line = text.lines().find(|line| line.starts_with("Found again: "));
    let counts = line.unwrap_or_else(|| panic!("{text}"));
    let of = |text: &str| text.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    let (there, gone) = counts.split_once(';').unwrap();
    assert!(of(there) > 2 && of(gone) > 2, "{text}");
}
