//! A client of the REST interface over a socket of its own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

/// One connection to the interface.
pub struct Rest {
    stream: TcpStream,
}

impl Rest {
    /// Connects.
    pub fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).expect("the interface listens")
    }

    /// The same, where it may fail.
    pub fn try_connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream })
    }

    /// Connects from an address of this host.
    pub fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let from = SocketAddr::new(from, 0);
        socket.bind(&from.into()).expect("an address of this host");
        socket.connect(&to.into()).expect("the interface listens");
        let stream = TcpStream::from(socket);
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).expect("a socket");
        Self { stream }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Everything that comes until the far end closes, or an error such as a reset.
    pub fn rest(&mut self) -> (Vec<u8>, io::Result<usize>) {
        let mut bytes = Vec::new();
        let end = self.stream.read_to_end(&mut bytes);
        (bytes, end)
    }

    /// Says that nothing more will be sent.
    pub fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Posts JSON and waits for the answer: its code and its body.
    pub fn post(&mut self, path: &str, body: &Value) -> (u16, Vec<u8>) {
        self.ask("POST", path, "", &body.to_string())
    }

    /// Sends a request and waits for the answer.
    pub fn ask(&mut self, method: &str, path: &str, fields: &str, body: &str) -> (u16, Vec<u8>) {
        self.request(method, path, fields, body);
        self.answer().expect("an answer")
    }

    /// The same with the head of the answer.
    pub fn ask_whole(
        &mut self,
        method: &str,
        path: &str,
        fields: &str,
        body: &str,
    ) -> (String, Vec<u8>) {
        self.request(method, path, fields, body);
        let (head, _, body) = self.whole_answer().expect("an answer");
        (head, body)
    }

    fn request(&mut self, method: &str, path: &str, fields: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: box\r\nContent-Type: application/json\r\n{fields}\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.send(request.as_bytes()).expect("the request is taken");
    }

    /// Reads one answer.
    pub fn answer(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (_, status, body) = self.whole_answer()?;
        Ok((status, body))
    }

    fn whole_answer(&mut self) -> io::Result<(String, u16, Vec<u8>)> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.get(9..12).and_then(|code| code.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or_default()];
        self.stream.read_exact(&mut body)?;
        let wrong = || io::Error::other(format!("no status in {head:?}"));
        let status = status.ok_or_else(wrong)?;
        Ok((head, status, body))
    }
}
