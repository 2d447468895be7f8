//! TLS towards servers (RFC 8446, RFC 5246): who is trusted, and one connection's bytes.
//!
//! Certificates are checked against the system's roots or the authorities of one file, and against
//! the name or address that was asked for. Revocation lists are not looked at, client certificates
//! not sent.
//!
//! Each write costs rustls an allocation of its length and each record that is read a few, so the
//! rule that a media packet costs none ends here. What was encrypted and not taken by the socket is
//! one record at most, beyond what the backlog of the stream knows of. Handshakes are computed where all
//! else is: a millisecond or so each. Under TLS 1.2 with AES-GCM rustls ends a connection after 2^24
//! records, some two days of a call, and the stream is published again; TLS 1.3 changes its keys.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};

use crate::limits::TLS_BUFFER_BYTES;

/// Who is trusted; read when the first connection needs it, and then kept.
pub struct Trust {
    ca_file: Option<PathBuf>,
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Trust {
    /// Trust in the authorities of a PEM file, or without one in the system's.
    pub fn new(ca_file: Option<PathBuf>) -> Self {
        Self {
            ca_file,
            config: Mutex::new(None),
        }
    }

    /// Reads the authorities unless that was done; it takes some milliseconds.
    ///
    /// # Errors
    ///
    /// There are none, in words; the next connection looks again.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let mut kept = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*kept {
            return Ok(Arc::clone(config));
        }
        let config = client_config(self.ca_file.as_deref())?;
        *kept = Some(Arc::clone(&config));
        Ok(config)
    }
}

fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let shown = path.display();
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| format!("rtmp.caFile {shown}: {error}"))?;
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|error| format!("rtmp.caFile {shown}: {error}"))?;
            }
            if roots.is_empty() {
                return Err(format!("rtmp.caFile {shown}: no certificate in it"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(
                    "this system knows no certificate authorities: install ca-certificates or \
                     name a file in rtmp.caFile"
                        .to_owned(),
                );
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// A socket with TLS over it.
pub struct TlsStream {
    socket: TcpStream,
    session: ClientConnection,
    host: String,
}

impl TlsStream {
    /// TLS over a connected socket; [`Self::handshake`] goes on from here.
    pub fn new(socket: TcpStream, config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| io::Error::other(format!("TLS: {host} cannot be in a certificate")))?;
        let mut session = ClientConnection::new(config, name)
            .map_err(|error| io::Error::other(words(&error, host)))?;
        session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        Ok(Self {
            socket,
            session,
            host: host.to_owned(),
        })
    }

    /// The socket below.
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Goes on with the handshake as far as the socket allows; true when it is done.
    pub fn handshake(&mut self) -> io::Result<bool> {
        loop {
            self.flush()?;
            if !self.session.is_handshaking() {
                return Ok(true);
            }
            match self.fill() {
                Ok(0) => {
                    let words = format!(
                        "{} closed the connection during the TLS handshake",
                        self.host
                    );
                    return Err(io::Error::other(words));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what was sent to us; 0 at the end.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many servers close without saying goodbye in TLS; RTMP knows its own end.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            if self.fill()? == 0 {
                // The reader now tells what that end was.
                return self.session.reader().read(into).or(Ok(0));
            }
            // Answers of TLS itself, such as to a change of keys.
            self.flush()?;
        }
    }

    /// Takes bytes as long as the socket takes them; how many. Fewer than given means that the
    /// socket is full and will tell when it no longer is.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        while self.flush()? && taken < bytes.len() {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.session.writer().write(rest)? {
                // Something of TLS itself, such as a change of keys, goes first.
                0 if self.session.wants_write() => {}
                // The socket has room and would never tell of more.
                0 => return Err(io::Error::other("TLS takes nothing any more")),
                count => taken = count.saturating_add(taken),
            }
        }
        Ok(taken)
    }

    /// Writes what TLS has ready; false when the socket is full.
    pub fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says goodbye in TLS, as far as the socket takes it.
    pub fn close(&mut self) {
        self.session.send_close_notify();
        // The connection ends in any case.
        let _ = self.flush();
    }

    /// Takes bytes from the socket; 0 at its end.
    fn fill(&mut self) -> io::Result<usize> {
        let count = loop {
            match self.session.read_tls(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => break count?,
            }
        };
        if let Err(error) = self.session.process_new_packets() {
            // The alert tells the server why.
            let _ = self.flush();
            return Err(io::Error::other(words(&error, &self.host)));
        }
        Ok(count)
    }
}

/// What failed, and what can be done about it.
fn words(error: &rustls::Error, host: &str) -> String {
    use AlertDescription as Alert;
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(bad) => {
            format!("TLS: the certificate of {host} {}", certificate_words(bad))
        }
        Tls::NoCertificatesPresented => format!("TLS: {host} has no certificate"),
        Tls::InvalidMessage(_) => {
            format!("{host} does not speak TLS on this port: is it rtmp:// and not rtmps://?")
        }
        Tls::PeerIncompatible(_)
        | Tls::AlertReceived(Alert::HandshakeFailure | Alert::ProtocolVersion) => {
            format!("TLS: {host} offers no version or cipher that is safe (TLS 1.2 or 1.3)")
        }
        Tls::AlertReceived(Alert::UnrecognisedName) => {
            format!("TLS: {host} is a name that the server there does not know")
        }
        Tls::AlertReceived(Alert::CertificateRequired) => {
            format!("TLS: {host} demands a certificate of its clients: there is none to send")
        }
        Tls::AlertReceived(alert) => format!("TLS: {host} refused the connection: {alert:?}"),
        other => format!("TLS: {host}: {other}"),
    }
}

/// What is wrong with a certificate, and what can be done about it.
fn certificate_words(error: &CertificateError) -> String {
    use CertificateError as Bad;
    let words = match error {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "has expired, or the clock of this box is wrong"
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "is not valid yet: is the clock of this box set?"
        }
        Bad::UnknownIssuer => {
            "is signed by an authority that this box does not know; name its file in rtmp.caFile"
        }
        // The name of a known authority and not its key.
        Bad::BadSignature => {
            "is signed by another authority of a known name; if that was made anew, rtmp.caFile \
             needs its new file"
        }
        Bad::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "names no host in subjectAltName; have it made with the name that is in the address"
        }
        Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
            "is for another name; use the name that it was made for"
        }
        Bad::Revoked => "was revoked",
        Bad::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "is that of an authority; one signed by itself needs basicConstraints=CA:FALSE"
        }
        other => return format!("is not accepted: {other:?}"),
    };
    words.to_owned()
}
