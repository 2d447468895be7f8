//! SIPp with the short scenarios of the folders below `tests/sipp`.
//!
//! What scenarios share stands here once: a line `{{words}}` in one of them is replaced by a piece of
//! XML or of a SIP message, see [`piece`]. Unlike [`Scenario`](super::sipp::Scenario), a message that
//! the scenario does not expect ends it at once.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::scratch::{Scratch, tests_folder};
use super::{Ports, Program};

/// How a scenario is run.
pub struct Script<'a> {
    name: &'a str,
    target: SocketAddr,
    transport: &'a str,
    number: &'a str,
    from: &'a str,
    calls: (u32, u32),
    port: Option<u16>,
}

impl<'a> Script<'a> {
    /// The scenario `tests/sipp/<name>.xml` over UDP, towards the gateway at `target`.
    pub fn new(name: &'a str, target: SocketAddr) -> Self {
        Self {
            name,
            target,
            transport: "u1",
            number: "1000",
            from: "127.0.0.1",
            calls: (1, 50),
            port: None,
        }
    }

    /// Uses one TCP connection for all calls.
    pub fn over_tcp(mut self) -> Self {
        self.transport = "t1";
        self
    }

    /// Speaks from another address of this host.
    pub fn from(mut self, address: &'a str) -> Self {
        self.from = address;
        self
    }

    /// Calls that number.
    pub fn number(mut self, number: &'a str) -> Self {
        self.number = number;
        self
    }

    /// Expects or places that many calls, `rate` of them a second.
    pub fn calls(mut self, calls: u32, rate: u32) -> Self {
        self.calls = (calls, rate);
        self
    }

    /// Uses that SIP port, for scenarios that are called.
    pub fn listen(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Starts SIPp, and waits until it has its port.
    pub fn start(&self, ports: &mut Ports) -> Running {
        let folder = Scratch::new("sipp");
        let media = ports.pair();
        ports.pair();
        let port = self.port.unwrap_or_else(|| ports.pair());
        let file = tests_folder()
            .join("sipp")
            .join(format!("{}.xml", self.name));
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let scenario = folder.write("scenario.xml", expanded(&text));
        let (calls, rate) = self.calls;
        let mut command = Command::new("sipp");
        command
            .current_dir(folder.path())
            .arg(self.target.to_string())
            .arg("-sf")
            .arg(scenario)
            .args(["-m", &calls.to_string(), "-l", &calls.to_string()])
            .args(["-r", &rate.to_string()])
            .args(["-nostdin", "-default_behaviors", "all,-bye"])
            .args(["-trace_err", "-trace_msg", "-recv_timeout", "9000"])
            .args(["-timeout", "15s", "-timeout_error"])
            .args(["-t", self.transport, "-i", self.from, "-mi", self.from])
            .args(["-p", &port.to_string(), "-mp", &media.to_string()])
            .args(["-s", self.number]);
        let program = Program::start(&mut command);
        if self.port.is_some() {
            wait_for_listener(port, self.transport == "t1");
        }
        Running {
            program,
            folder,
            name: self.name.to_owned(),
        }
    }

    /// Runs SIPp to its end; everything must go as the scenario says. Returns what was sent and
    /// received.
    pub fn run(&self, ports: &mut Ports) -> String {
        self.start(ports).succeed()
    }
}

/// A running SIPp.
pub struct Running {
    program: Program,
    folder: Scratch,
    name: String,
}

impl Running {
    /// Waits for the end of the scenario and demands that nothing was unexpected. Returns what was
    /// sent and received.
    pub fn succeed(mut self) -> String {
        let status = self.program.wait(Duration::from_secs(20));
        let trace = self.trace();
        assert!(
            status.success(),
            "SIPp scenario {} ended with {status}:\n{trace}",
            self.name
        );
        trace
    }

    /// What was sent and received so far, and SIPp's complaints.
    pub fn trace(&self) -> String {
        let folder = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut paths: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|kind| kind == "log"));
        let texts = paths.into_iter().map(std::fs::read);
        let bytes: Vec<u8> = texts.flatten().flatten().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn wait_for_listener(port: u16, is_tcp: bool) {
    let address = (Ipv4Addr::LOCALHOST, port);
    let is_free = || {
        if is_tcp {
            TcpListener::bind(address).is_ok()
        } else {
            UdpSocket::bind(address).is_ok()
        }
    };
    let began = Instant::now();
    while is_free() {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "SIPp never listens"
        );
        sleep(Duration::from_millis(20));
    }
}

/// A scenario with its pieces put in.
fn expanded(text: &str) -> String {
    let mut whole = String::new();
    let mut variables = 0;
    for line in text.lines() {
        let words = line.trim().strip_prefix("{{");
        let words = words.and_then(|words| words.strip_suffix("}}"));
        if let Some(words) = words {
            if let Some(check) = check(words, variables + 1) {
                variables += 1;
                whole += &check;
            } else if words == "ack refusal" {
                let text = piece(words).replace("[branch]", &last_branch(&whole));
                whole += &text;
            } else {
                whole += &piece(words);
            }
        } else if line.trim() == "</scenario>" && variables > 0 {
            let names: Vec<_> = (1..=variables).map(|number| format!("v{number}")).collect();
            let _ = writeln!(whole, "<Reference variables=\"{}\"/>", names.join(","));
            whole += line;
        } else {
            whole += line;
        }
        whole.push('\n');
    }
    whole
}

/// The branch of the last INVITE, for the ACK that comes next: SIPp makes branches from the place of a
/// message among all steps.
fn last_branch(text: &str) -> String {
    let steps = |text: &str| -> usize {
        let kinds = ["<send>", "<send ", "<recv ", "<pause", "<nop"];
        kinds.iter().map(|kind| text.matches(kind).count()).sum()
    };
    let invite = text.rfind("\nINVITE ").expect("an INVITE came before");
    format!("[branch-{}]", steps(text) + 1 - steps(&text[..invite]))
}

/// `body REGEX`, `no body REGEX`, `header NAME: REGEX`, `no header NAME: REGEX`: what the message that
/// was received has to hold, or must not.
fn check(words: &str, number: u32) -> Option<String> {
    let (must, rest) = match words.strip_prefix("no ") {
        Some(rest) => ("check_it_inverse", rest),
        None => ("check_it", words),
    };
    let (place, pattern) = if let Some(pattern) = rest.strip_prefix("body ") {
        ("search_in=\"body\"".to_owned(), pattern)
    } else if let Some(rest) = rest.strip_prefix("message ") {
        ("search_in=\"msg\"".to_owned(), rest)
    } else {
        let (name, pattern) = rest.strip_prefix("header ")?.split_once(": ")?;
        (format!("search_in=\"hdr\" header=\"{name}:\""), pattern)
    };
    let pattern = pattern.replace('&', "&amp;").replace('<', "&lt;");
    let pattern = pattern.replace('"', "&quot;");
    Some(format!(
        "<ereg regexp=\"{pattern}\" {place} {must}=\"true\" assign_to=\"v{number}\"/>"
    ))
}

const VIA: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport\n\
                   Max-Forwards: 70\n";
const PARTIES: &str = "From: \"Gate\" <sip:gate@[local_ip]:[local_port]>;tag=[pid]t[call_number]\n\
                       To: <sip:[service]@[remote_ip]:[remote_port]>";
const CONTACT: &str = "Contact: <sip:gate@[local_ip]:[local_port];transport=[transport]>\n";
const SESSION: &str = "Content-Type: application/sdp\nContent-Length: [len]\n\nv=0\n\
                       o=gate 7 1 IN IP[local_ip_type] [local_ip]\ns=-\n\
                       c=IN IP[media_ip_type] [media_ip]\nt=0 0";
const SOUND: &str = "m=audio [media_port] RTP/AVP 8 101\na=rtpmap:8 PCMA/8000\n\
                     a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15";
const PICTURE: &str = "m=video [media_port+2] RTP/AVP 97\na=rtpmap:97 H264/90000\n\
                       a=fmtp:97 packetization-mode=1;profile-level-id=42c01e\n\
                       a=rtcp-fb:* nack pli";
const EMPTY: &str = "Content-Length: 0\n";

/// What the words between double braces stand for.
///
/// | words | |
/// | --- | --- |
/// | `send`, `send once`, `sent` | begin a message, with or without retransmission, and end it |
/// | `request METHOD CSEQ` | head of a request that begins a dialog |
/// | `inside METHOD CSEQ` | head of a request within it |
/// | `response CODE WORDS` | head of a response, with our tag |
/// | `response inside CODE WORDS` | the same to a request within the dialog |
/// | `response registrar CODE WORDS` | the same without a Contact |
/// | `session`, `sound`, `picture`, `offer` | parts of a description; the last is all of them |
/// | `empty` | no body |
/// | `progress` | provisional responses that may come |
/// | `answered CODE`, `asked METHOD`, `checked` | begin and end of what is received |
/// | `ack`, `ack refusal`, `bye CSEQ` | whole exchanges of a caller |
/// | `acknowledged`, `hung up`, `challenge CODE HEADER` | whole exchanges of a callee |
fn piece(words: &str) -> String {
    let (first, rest) = words.split_once(' ').unwrap_or((words, ""));
    let inside = |method: &str, cseq: &str| {
        format!(
            "{method} [next_url] SIP/2.0\n{VIA}[routes]\n{PARTIES}[peer_tag_param]\n\
             Call-ID: [call_id]\nCSeq: {cseq} {method}"
        )
    };
    let response = |line: &str, tag: &str| {
        format!(
            "SIP/2.0 {line}\n[last_Via:]\n[last_From:]\n[last_To:]{tag}\n\
             [last_Call-ID:]\n[last_CSeq:]\n{CONTACT}"
        )
    };
    let tag = ";tag=[pid]t[call_number]";
    let message = |text: &str| format!("<send><![CDATA[\n{text}\n]]></send>");
    let repeated = |text: &str| format!("<send retrans=\"500\"><![CDATA[\n{text}\n]]></send>");
    match first {
        "send" if rest == "once" => "<send><![CDATA[\n".to_owned(),
        "send" => "<send retrans=\"500\"><![CDATA[\n".to_owned(),
        "sent" => "\n]]></send>".to_owned(),
        "request" => {
            let (method, cseq) = rest.split_once(' ').expect("a method and a number");
            format!(
                "{method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n{VIA}{PARTIES}\n\
                 Call-ID: [call_id]\nCSeq: {cseq} {method}\n{CONTACT}\
                 Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO"
            )
        }
        "inside" => {
            let (method, cseq) = rest.split_once(' ').expect("a method and a number");
            inside(method, cseq)
        }
        "response" => match (
            rest.strip_prefix("inside "),
            rest.strip_prefix("registrar "),
        ) {
            (Some(line), _) => response(line, "").trim_end().to_owned(),
            (_, Some(line)) => response(line, tag)
                .replace(CONTACT, "")
                .trim_end()
                .to_owned(),
            (None, None) => response(rest, tag).trim_end().to_owned(),
        },
        "session" => SESSION.to_owned(),
        "sound" => SOUND.to_owned(),
        "picture" => PICTURE.to_owned(),
        "offer" => format!("{SESSION}\n{SOUND}\n{PICTURE}"),
        "empty" => EMPTY.to_owned(),
        "progress" => ["100", "180", "183"]
            .map(|code| format!("<recv response=\"{code}\" optional=\"true\"/>"))
            .join("\n"),
        "answered" => format!("<recv response=\"{rest}\" rrs=\"true\"><action>"),
        "asked" => format!("<recv request=\"{rest}\" crlf=\"true\" rrs=\"true\"><action>"),
        "checked" => "</action></recv>".to_owned(),
        "ack" if rest == "refusal" => {
            let text =
                inside("ACK", "1").replace("[next_url]", "sip:[service]@[remote_ip]:[remote_port]");
            let text = text.replace("[routes]\n", "");
            message(&format!("{text}\n{EMPTY}"))
        }
        "ack" => message(&format!("{}\n{EMPTY}", inside("ACK", "1"))),
        "bye" => {
            let text = format!("{}\n{EMPTY}", inside("BYE", rest));
            format!("{}\n<recv response=\"200\"/>", repeated(&text))
        }
        "acknowledged" => "<recv request=\"ACK\" crlf=\"true\"/>".to_owned(),
        "hung" => {
            let text = format!("{}{EMPTY}", response("200 OK", ""));
            format!("<recv request=\"BYE\" crlf=\"true\"/>\n{}", message(&text))
        }
        "challenge" => {
            let (code, header) = rest.split_once(' ').expect("a code and a header");
            let words = if code == "401" {
                "Unauthorized"
            } else {
                "Proxy Authentication Required"
            };
            // Several of them are parted by a `\n` that is written out.
            let header = header.replace("\\n", "\n");
            let text = format!(
                "{}{header}\n{EMPTY}",
                response(&format!("{code} {words}"), tag)
            );
            message(&text)
        }
        _ => panic!("no piece of a scenario is called {words:?}"),
    }
}
