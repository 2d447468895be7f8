//! TLS of the trunks: whom each trusts, and who it is at its own port.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use super::tls::{Identity, Servers, Trust};
use crate::base::network::Transport;
use crate::gateway::config::{Config, Trunk};

struct TrunkTls {
    name: String,
    port: u16,
    trust: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

/// What TLS of every trunk needs, by the trunk's place.
#[derive(Default)]
pub struct SipTls {
    trunks: Vec<TrunkTls>,
    /// The certificate that we made, for trunks to which none was given.
    own: Option<Arc<Identity>>,
}

impl SipTls {
    /// Reads the certificates of a configuration; one is made for trunks with TLS and without.
    ///
    /// # Errors
    ///
    /// A file cannot be used, in words that name the trunk.
    pub fn load(config: &Config) -> Result<Self, String> {
        let mut tls = Self::default();
        for trunk in &config.trunks {
            let identity = tls.identity(config, trunk)?;
            tls.trunks.push(TrunkTls::new(trunk, identity)?);
        }
        Ok(tls)
    }

    /// Reads the files again. Trunks whose files cannot be used keep what they have; why, in words.
    pub fn reload(&mut self, config: &Config) -> Vec<String> {
        let mut problems = Vec::new();
        for trunk in &config.trunks {
            let mut known = self.trunks.iter();
            let is_it = |tls: &TrunkTls| tls.name == trunk.name && tls.port == trunk.local_port;
            let Some(at) = known.position(is_it) else {
                continue;
            };
            let identity = self.identity(config, trunk);
            match identity.and_then(|identity| TrunkTls::new(trunk, identity)) {
                Ok(tls) => {
                    if let Some(place) = self.trunks.get_mut(at) {
                        *place = tls;
                    }
                }
                Err(words) => problems.push(words),
            }
        }
        problems
    }

    /// Whom the trunk at that place trusts.
    pub fn trust(&self, trunk: usize) -> Option<Arc<Trust>> {
        self.trunks.get(trunk).map(|tls| Arc::clone(&tls.trust))
    }

    /// The server side of the trunk at that place, where it takes TLS.
    pub fn server(&self, trunk: usize) -> Option<Arc<ServerConfig>> {
        let tls = self.trunks.get(trunk)?;
        tls.identity.as_ref().map(|identity| identity.server())
    }

    fn identity(
        &mut self,
        config: &Config,
        trunk: &Trunk,
    ) -> Result<Option<Arc<Identity>>, String> {
        if trunk.transport != Transport::Tls {
            return Ok(None);
        }
        if let (Some(certificate), Some(key)) = (&trunk.certificate, &trunk.key) {
            let read = Identity::read(&trunk.name, Path::new(certificate), Path::new(key))?;
            return Ok(Some(Arc::new(read)));
        }
        if self.own.is_none() {
            let directory = config.state_directory.as_ref().map(Path::new);
            let own = Identity::self_made(directory)?;
            log::warn!(
                "TLS: without certificate and key this box has a certificate of its own making, \
                 which a PBX has to be told to trust: SHA-256 {}",
                own.fingerprint()
            );
            self.own = Some(Arc::new(own));
        }
        Ok(self.own.clone())
    }
}

impl TrunkTls {
    fn new(trunk: &Trunk, identity: Option<Arc<Identity>>) -> Result<Self, String> {
        let servers = Servers::Sip(trunk.name.clone());
        let ca_file = trunk.ca_file.as_ref().map(Into::into);
        let trust = Arc::new(Trust::new(servers, ca_file, identity.clone()));
        // The system's authorities wait until they are needed: to find them takes long.
        if trunk.ca_file.is_some() {
            trust.config()?;
        }
        Ok(Self {
            name: trunk.name.clone(),
            port: trunk.local_port,
            trust,
            identity,
        })
    }
}
