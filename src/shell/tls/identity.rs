//! Our own certificate, where we are the TLS server: of the configured files, or made by ourselves.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use ring::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;

use super::provider;

/// The certificate that we made ourselves, below the state directory.
const CERTIFICATE_FILE: &str = "sip-certificate.pem";

/// Its key; nobody but the owner may read it.
const KEY_FILE: &str = "sip-key.pem";

/// What we call ourselves in a certificate that we made.
const COMMON_NAME: &str = "Trunkcast";

/// A certificate with those that vouch for it, and its key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    server: Arc<ServerConfig>,
}

impl Identity {
    /// Reads the PEM files of `owner`, which a problem with them names.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in words.
    pub fn read(owner: &str, certificate: &Path, key: &Path) -> Result<Self, String> {
        let shown = certificate.display();
        let chain = read_chain(certificate)
            .map_err(|error| format!("certificate of {owner}: {shown}: {error}"))?;
        let shown = key.display();
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| format!("key of {owner}: {shown}: {error}"))?;
        Self::new(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("key of {owner}: {shown}: is not the key of the certificate")
            }
            other => format!("certificate and key of {owner}: {other}"),
        })
    }

    /// The certificate that we made before, or a new one for these addresses; kept in the directory
    /// where there is one.
    ///
    /// # Errors
    ///
    /// The system gives no random numbers.
    pub fn self_made(directory: Option<&Path>) -> Result<Self, String> {
        if let Some(directory) = directory
            && let Ok(kept) = read_kept(directory)
        {
            return Ok(kept);
        }
        let failed = |error: &dyn std::fmt::Display| format!("cannot make a certificate: {error}");
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = parameters()
            .self_signed(&key)
            .map_err(|error| failed(&error))?;
        if let Some(directory) = directory
            && let Err(error) = keep(directory, certificate.der(), &key.serialize_der())
        {
            log::warn!(
                "{}: {error}: our own certificate will be another one after the next start",
                directory.display()
            );
        }
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Self::new(vec![certificate.der().clone()], key.into()).map_err(|error| failed(&error))
    }

    /// The files of the certificate that [`Self::self_made`] keeps in a directory, and of its key, if
    /// they are there.
    pub fn kept(directory: &Path) -> Option<(String, String)> {
        let [certificate, key] = [CERTIFICATE_FILE, KEY_FILE].map(|name| directory.join(name));
        let are_there = certificate.exists() && key.exists();
        let text = |path: PathBuf| path.into_os_string().into_string().ok();
        Some((text(certificate)?, text(key)?)).filter(|_| are_there)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key.clone_key())?;
        // Connections of a PBX last: what it would take to resume one is not worth its memory.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self {
            chain,
            key,
            server: Arc::new(server),
        })
    }

    /// The certificate and those that vouch for it.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// Its key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The server side of connections with it.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// SHA-256 of the certificate, as other programs print it.
    pub fn fingerprint(&self) -> String {
        let certificate: &[u8] = self.chain.first().map_or(&[], |first| first);
        let bytes = digest(&SHA256, certificate);
        let hex: Vec<String> = bytes.as_ref().iter().map(|b| format!("{b:02X}")).collect();
        hex.join(":")
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    if chain.is_empty() {
        return Err("no certificate in it".to_owned());
    }
    Ok(chain)
}

fn read_kept(directory: &Path) -> Result<Identity, String> {
    let chain = read_chain(&directory.join(CERTIFICATE_FILE))?;
    let key = PrivateKeyDer::from_pem_file(directory.join(KEY_FILE));
    let key = key.map_err(|error| error.to_string())?;
    Identity::new(chain, key).map_err(|error| error.to_string())
}

/// A certificate for the addresses of this machine. Its dates do not depend on a clock that may not be
/// set yet.
fn parameters() -> CertificateParams {
    let names: Vec<String> = own_addresses().map(|ip| ip.to_string()).collect();
    let mut parameters = CertificateParams::new(names).unwrap_or_default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, COMMON_NAME);
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2049, 12, 31);
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    parameters
}

/// Loopback, and the addresses that routes to the rest of the world leave from.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    // Documentation networks: nothing is sent to them.
    let routes = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let routed = routes.into_iter().filter_map(|(any, far)| {
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    [IpAddr::from([127, 0, 0, 1])].into_iter().chain(routed)
}

fn keep(directory: &Path, certificate: &[u8], key: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    write(
        directory,
        CERTIFICATE_FILE,
        0o644,
        &pem("CERTIFICATE", certificate),
    )?;
    write(directory, KEY_FILE, 0o600, &pem("PRIVATE KEY", key))
}

/// Writes a file that is whole or not there.
fn write(directory: &Path, name: &str, mode: u32, text: &str) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, directory.join(name))
}

/// A PEM text (RFC 7468).
fn pem(label: &str, bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in bytes.chunks(48) {
        for three in line.chunks(3) {
            let byte = |at: usize| three.get(at).copied().map_or(0, u32::from);
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let digit = DIGITS.get((bits >> (18 - 6 * at) & 63) as usize);
                let digit = digit.filter(|_| at <= three.len());
                text.push(digit.copied().map_or('=', char::from));
            }
        }
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_certificate_of_our_own_is_kept_and_its_key_is_ours_alone() {
        let directory = std::env::temp_dir().join(format!("trunkcast-{}", std::process::id()));
        let first = Identity::self_made(Some(&directory)).unwrap().fingerprint();
        let second = Identity::self_made(Some(&directory)).unwrap().fingerprint();
        let mode = fs::metadata(directory.join(KEY_FILE))
            .unwrap()
            .permissions();
        let files = [CERTIFICATE_FILE, KEY_FILE].map(|name| directory.join(name));
        let again = Identity::read("t", &files[0], &files[1]).map(|read| read.fingerprint());
        let swapped = Identity::read("t", &files[1], &files[0]).map(drop);
        fs::remove_dir_all(&directory).unwrap();
        let none = Identity::self_made(None).unwrap().fingerprint();
        assert_eq!(first, second);
        assert_eq!(again, Ok(first.clone()));
        assert_ne!(first, none);
        assert_eq!(first.len(), 95);
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(swapped.unwrap_err().ends_with("no certificate in it"));
    }

    #[test]
    fn pem_has_its_padding_and_lines() {
        let begin = "-----BEGIN X-----\n";
        for (bytes, body) in [
            (&b""[..], ""),
            (b"f", "Zg==\n"),
            (b"fo", "Zm8=\n"),
            (b"foo", "Zm9v\n"),
            (b"foob", "Zm9vYg==\n"),
        ] {
            assert_eq!(pem("X", bytes), format!("{begin}{body}-----END X-----\n"));
        }
        assert_eq!(pem("X", &[0; 49]).lines().nth(2), Some("AA=="));
    }
}
