//! What failed in TLS, and what can be done about it.

use rustls::{AlertDescription, CertificateError};

use super::trust::Servers;
use crate::base::time::WallTime;
use crate::wire::http_date::HttpDate;

/// What failed towards a server, for those who decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// Nobody that is trusted here vouches for the certificate.
    Untrusted,
    /// The certificate has expired, by the clock of this box.
    Expired,
    /// The clock of this box is not set, or the certificate is not valid yet by it.
    ClockNotSet,
    /// The certificate is for another name.
    WrongName,
    /// No TLS is spoken there.
    NotTls,
    /// Something else.
    Other,
}

/// What failed towards a server, with words; the inside of an [`io::Error`](std::io::Error).
#[derive(Debug)]
pub struct TlsError {
    /// What.
    pub fault: TlsFault,
    words: String,
}

impl std::fmt::Display for TlsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    /// Of what a server did, while the clock of this box said `clock`.
    pub fn of_server(
        error: &rustls::Error,
        host: &str,
        servers: &Servers,
        clock: WallTime,
    ) -> Self {
        use CertificateError as Bad;
        use rustls::Error as Tls;
        let fault = match error {
            Tls::InvalidCertificate(bad) => match bad {
                Bad::Expired | Bad::ExpiredContext { .. } => TlsFault::Expired,
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => TlsFault::ClockNotSet,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => TlsFault::WrongName,
                Bad::UnknownIssuer | Bad::BadSignature | Bad::Revoked | Bad::Other(_) => {
                    TlsFault::Untrusted
                }
                _ => TlsFault::Other,
            },
            Tls::InvalidMessage(_) => TlsFault::NotTls,
            _ => TlsFault::Other,
        };
        let words = match fault {
            TlsFault::ClockNotSet => clock_words(host, clock),
            _ => of_server(error, host, servers),
        };
        Self { fault, words }
    }
}

/// A certificate that is not valid yet: nearly always it is not the certificate that is wrong.
fn clock_words(host: &str, clock: WallTime) -> String {
    let date = HttpDate(clock.seconds());
    match clock.is_believable() {
        false => format!(
            "TLS: this box's clock is not set yet (it says {date}): the certificate of {host} cannot be \
             checked"
        ),
        true => format!(
            "TLS: the certificate of {host} is not valid yet: is the clock of this box right? It says \
             {date}"
        ),
    }
}

/// What failed towards a server.
fn of_server(error: &rustls::Error, host: &str, servers: &Servers) -> String {
    use AlertDescription as Alert;
    use rustls::Error as Tls;
    match error {
        Tls::InvalidCertificate(bad) => {
            let words = certificate_words(bad, &servers.ca_field());
            format!("TLS: the certificate of {host} {words}")
        }
        Tls::NoCertificatesPresented => format!("TLS: {host} has no certificate"),
        Tls::InvalidMessage(_) => {
            let hint = servers.plain_hint();
            format!("{host} does not speak TLS on this port: {hint}")
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

/// What failed with a client at our port.
pub fn of_client(error: &rustls::Error) -> String {
    use AlertDescription as Alert;
    use rustls::Error as Tls;
    match error {
        Tls::InvalidMessage(_) => {
            "does not speak TLS: this port takes SIP over TLS alone".to_owned()
        }
        Tls::AlertReceived(Alert::UnknownCA) => {
            "does not know the authority that signed our certificate: name it there, or have \
             certificate signed by one that it knows"
                .to_owned()
        }
        Tls::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown),
        ) => format!("does not accept our certificate: {alert:?}"),
        Tls::PeerIncompatible(_) => {
            "offers no version or cipher of TLS that is safe (TLS 1.2 or 1.3)".to_owned()
        }
        Tls::AlertReceived(alert) => format!("ended the TLS handshake: {alert:?}"),
        other => format!("failed in the TLS handshake: {other}"),
    }
}

/// What is wrong with a certificate, and what can be done about it.
fn certificate_words(error: &CertificateError, ca_field: &str) -> String {
    use CertificateError as Bad;
    let words = match error {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            "has expired, or the clock of this box is wrong"
        }
        Bad::UnknownIssuer => {
            return format!(
                "is signed by an authority that this box does not know; name its file in {ca_field}"
            );
        }
        // The name of a known authority and not its key.
        Bad::BadSignature => {
            return format!(
                "is signed by another authority of a known name; if that was made anew, {ca_field} \
                 needs its new file"
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_not_valid_yet_is_a_matter_of_the_clock() {
        let error = rustls::Error::InvalidCertificate(CertificateError::NotValidYet);
        let told = |seconds: u64| {
            let clock = WallTime::from_unix(seconds);
            TlsError::of_server(&error, "pbx.example", &Servers::Rtmp, clock)
        };
        assert_eq!(told(7).fault, TlsFault::ClockNotSet);
        assert_eq!(
            told(7).to_string(),
            "TLS: this box's clock is not set yet (it says Thu, 01 Jan 1970 00:00:07 GMT): the \
             certificate of pbx.example cannot be checked"
        );
        // The date of an image is believed, and may be old.
        assert_eq!(told(4_000_000_000).fault, TlsFault::ClockNotSet);
        let words = told(4_000_000_000).to_string();
        assert!(
            words.ends_with("right? It says Tue, 02 Oct 2096 07:06:40 GMT"),
            "{words}"
        );
    }
}
