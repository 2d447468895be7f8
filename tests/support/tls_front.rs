//! nginx as the TLS end in front of an RTMP server that knows none.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::authority::Certificate;
use super::{Ports, Program, Scratch};

const CONFIG: &str = "\
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
pid @FOLDER@/nginx.pid;
error_log @FOLDER@/error.log info;
events { worker_connections 64; }
stream {
    server {
        listen @LISTEN@ ssl rcvbuf=32k;
        ssl_certificate @CERTIFICATE@;
        ssl_certificate_key @KEY@;
        ssl_protocols @PROTOCOLS@;
        ssl_ciphers DEFAULT:@SECLEVEL=0;
        proxy_pass @BEHIND@;
    }
}
";

/// A running front in one process, so that a signal stops all of it.
pub struct TlsFront {
    program: Program,
    folder: Scratch,
    address: SocketAddr,
    behind: SocketAddr,
}

impl TlsFront {
    /// Starts on a free port in front of `behind`, with TLS 1.2 and 1.3.
    pub fn start(ports: &mut Ports, behind: SocketAddr, certificate: &Certificate) -> Self {
        Self::start_at(ports.address(), behind, certificate, "TLSv1.2 TLSv1.3")
    }

    /// The same at a given address and with other versions, in nginx's words.
    pub fn start_at(
        address: SocketAddr,
        behind: SocketAddr,
        certificate: &Certificate,
        versions: &str,
    ) -> Self {
        let folder = Scratch::new("tls-front");
        let text = CONFIG
            .replace("@LISTEN@", &address.to_string())
            .replace("@BEHIND@", &behind.to_string())
            .replace("@CERTIFICATE@", &certificate.certificate.to_string_lossy())
            .replace("@KEY@", &certificate.key.to_string_lossy())
            .replace("@PROTOCOLS@", versions)
            .replace("@FOLDER@", &folder.path().to_string_lossy());
        let config = folder.write("nginx.conf", text);
        let program = Program::start(
            Command::new("/usr/sbin/nginx")
                .arg("-e")
                .arg(folder.join("error.log"))
                .arg("-p")
                .arg(folder.path())
                .arg("-c")
                .arg(config),
        );
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(address).is_err() {
            let log = std::fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            let said = program.text();
            assert!(Instant::now() < deadline, "no TLS front:\n{log}{said}");
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            program,
            folder,
            address,
            behind,
        }
    }

    /// Ends it and starts it again at the same address, with another certificate.
    pub fn start_again(self, certificate: &Certificate) -> Self {
        let (address, behind) = (self.address, self.behind);
        drop(self);
        Self::start_at(address, behind, certificate, "TLSv1.2 TLSv1.3")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process, for signals.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Kills it with what it holds.
    pub fn kill(&mut self) {
        self.program.kill();
    }
}
