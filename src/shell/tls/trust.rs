//! Who is trusted where we are the TLS client.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::identity::Identity;
use super::provider;

/// Whose servers they are, for the words of what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// RTMP servers.
    Rtmp,
    /// The PBX of the trunk of that name.
    Sip(String),
    /// The backend of hooks.
    Backend,
}

/// Who is trusted; read when the first connection needs it, and then kept.
pub struct Trust {
    servers: Servers,
    ca_file: Option<PathBuf>,
    /// What we present to a server that asks for it.
    identity: Option<Arc<Identity>>,
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Servers {
    /// Where the file of authorities is named.
    pub fn ca_field(&self) -> String {
        match self {
            Self::Rtmp => "rtmp.caFile".to_owned(),
            Self::Sip(trunk) => format!("caFile of trunk {trunk}"),
            Self::Backend => "hooks.caFile".to_owned(),
        }
    }

    /// What to ask where no TLS is spoken.
    pub const fn plain_hint(&self) -> &'static str {
        match self {
            Self::Rtmp => "is it rtmp:// and not rtmps://?",
            Self::Sip(_) => "is it transport: tcp and not tls, or another port?",
            Self::Backend => "is it http:// and not https://?",
        }
    }
}

impl Trust {
    /// Trust of servers in the authorities of a PEM file, or without one in the system's.
    pub fn new(
        servers: Servers,
        ca_file: Option<PathBuf>,
        identity: Option<Arc<Identity>>,
    ) -> Self {
        Self {
            servers,
            ca_file,
            identity,
            config: Mutex::new(None),
        }
    }

    /// Whose servers they are.
    pub const fn servers(&self) -> &Servers {
        &self.servers
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
        let config = self.read()?;
        *kept = Some(Arc::clone(&config));
        Ok(config)
    }

    fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let field = self.servers.ca_field();
        let roots = match &self.ca_file {
            Some(path) => roots_of(path, &field)?,
            None => system_roots(&field)?,
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_root_certificates(roots);
        let config = match &self.identity {
            Some(identity) => config
                .with_client_auth_cert(identity.chain(), identity.key())
                .map_err(|error| format!("TLS: {error}"))?,
            None => config.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

fn roots_of(path: &Path, field: &str) -> Result<RootCertStore, String> {
    let shown = path.display();
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{field} {shown}: {error}"))?;
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| format!("{field} {shown}: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("{field} {shown}: no certificate in it"));
    }
    Ok(roots)
}

fn system_roots(field: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(format!(
            "this system knows no certificate authorities: install ca-certificates or name a file \
             in {field}"
        ));
    }
    Ok(roots)
}
