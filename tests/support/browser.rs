//! A browser without screen that opens a page of the websdk package, and a server that gives it the page
//! and takes what a script in the page tells.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::scratch::Scratch;
use super::{Ports, Program};

/// What the page told, line by line, and what it may go on with.
#[derive(Default)]
struct Told {
    lines: Mutex<Vec<String>>,
    news: Condvar,
}

/// A page in a browser, driven by a script of the test.
pub struct Browser {
    told: Arc<Told>,
    program: Program,
    _folder: Scratch,
}

impl Browser {
    /// Opens a page of the package, by its path in there, with a script that runs once it is loaded.
    /// `tell(line)` of the script comes to [`Browser::wait_for`].
    pub fn open(ports: &mut Ports, page: &str, script: &str) -> Self {
        let listener = TcpListener::bind(ports.address()).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let told = Arc::new(Told::default());
        let (heard, driver) = (Arc::clone(&told), script.to_owned());
        let page_path = format!("/{page}");
        let served = page_path.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, driver, page) = (Arc::clone(&heard), driver.clone(), served.clone());
                thread::spawn(move || serve(stream, &heard, &page, &driver));
            }
        });
        let folder = Scratch::new("browser");
        let program = Program::start(
            Command::new("chromium")
                .args(["--headless=new", "--no-sandbox", "--disable-gpu"])
                .args(["--disable-dev-shm-usage", "--no-first-run"])
                .args(["--disable-background-networking", "--mute-audio"])
                .args(["--remote-debugging-port=0", "--enable-logging=stderr"])
                .arg(format!("--user-data-dir={}", folder.path().display()))
                .env("HOME", folder.path())
                .arg(format!("http://{address}{page_path}")),
        );
        Self {
            told,
            program,
            _folder: folder,
        }
    }

    /// Waits until the page has told a line; fails at once when it told of an error.
    pub fn wait_for(&self, line: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut lines = self.told.lines.lock().expect("nobody panics with it");
        while !lines.iter().any(|told| told == line) {
            let failed = lines.iter().any(|told| told.starts_with("error"));
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !failed && !left.is_zero(),
                "the page never told {line:?}, but {lines:?}\n{}",
                self.program.text()
            );
            let step = left.min(Duration::from_millis(200));
            lines = self
                .told
                .news
                .wait_timeout(lines, step)
                .expect("as above")
                .0;
        }
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, told: &Told, page: &str, script: &str) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let path = path.split('?').next().unwrap_or_default();
        let (kind, bytes) = match path {
            "/tell" => {
                let mut lines = told.lines.lock().expect("nobody panics with it");
                lines.push(String::from_utf8_lossy(&body).into_owned());
                told.news.notify_all();
                ("text/plain", Vec::new())
            }
            "/driver.js" => ("text/javascript", script.as_bytes().to_vec()),
            _ => {
                let mut bytes = file(path).unwrap_or_default();
                if path == page {
                    bytes.extend_from_slice(b"<script src=\"/driver.js\"></script>");
                }
                (kind(path), bytes)
            }
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        let sent = writer.write_all(head.as_bytes());
        if sent.and_then(|()| writer.write_all(&bytes)).is_err() {
            return;
        }
    }
}

/// The path and body of the next request.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let field = field.trim().to_ascii_lowercase();
        if field.is_empty() {
            break;
        }
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

/// A file of the package.
fn file(path: &str) -> Option<Vec<u8>> {
    let inside = Path::new(path.trim_start_matches('/'));
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if !inside.components().all(is_plain) {
        return None;
    }
    std::fs::read(package().join(inside)).ok()
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        _ => "application/octet-stream",
    }
}

/// Where `tests/run` unpacks the package.
fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/websdk")
}

/// The address of a REST interface as the page wants it.
pub fn rest_url(rest: SocketAddr) -> String {
    format!("http://{rest}/rest-api")
}
