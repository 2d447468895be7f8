//! TLS at our ports: whom each trunk trusts and who it is, and who we are to clients of REST.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use super::tls::{Identity, Servers, Trust};
use crate::base::network::Transport;
use crate::gateway::config::{Config, RestTls, Trunk};

struct TrunkTls {
    name: String,
    port: u16,
    trust: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

/// What TLS of every trunk needs, by the trunk's place, and that of REST.
#[derive(Default)]
pub struct SipTls {
    trunks: Vec<TrunkTls>,
    rest: Option<Arc<Identity>>,
    page: Option<Arc<Identity>>,
    /// The certificate that we made, for ports to which none was given.
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
        tls.rest = tls.http_identity(config, "rest.tls", config.rest.tls.as_ref())?;
        tls.page = tls.http_identity(config, "page.tls", config.page.tls.as_ref())?;
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
        // Whether there are such ports is settled at the start.
        match self.http_identity(config, "rest.tls", config.rest.tls.as_ref()) {
            Ok(identity) => {
                if let (Some(place), Some(identity)) = (&mut self.rest, identity) {
                    *place = identity;
                }
            }
            Err(words) => problems.push(words),
        }
        match self.http_identity(config, "page.tls", config.page.tls.as_ref()) {
            Ok(identity) => {
                if let (Some(place), Some(identity)) = (&mut self.page, identity) {
                    *place = identity;
                }
            }
            Err(words) => problems.push(words),
        }
        problems
    }

    /// The server side of REST, where it takes TLS.
    pub fn rest(&self) -> Option<Arc<ServerConfig>> {
        self.rest.as_ref().map(|identity| identity.server())
    }

    /// The server side of the page, where it takes TLS.
    pub fn page(&self) -> Option<Arc<ServerConfig>> {
        self.page.as_ref().map(|identity| identity.server())
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
            let owner = format!("trunk {}", trunk.name);
            let read = Identity::read(&owner, Path::new(certificate), Path::new(key))?;
            return Ok(Some(Arc::new(read)));
        }
        self.own(config).map(Some)
    }

    fn http_identity(
        &mut self,
        config: &Config,
        owner: &str,
        tls: Option<&RestTls>,
    ) -> Result<Option<Arc<Identity>>, String> {
        let Some(tls) = tls else {
            return Ok(None);
        };
        if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
            let read = Identity::read(owner, Path::new(certificate), Path::new(key))?;
            return Ok(Some(Arc::new(read)));
        }
        self.own(config).map(Some)
    }

    /// The certificate of our own making.
    fn own(&mut self, config: &Config) -> Result<Arc<Identity>, String> {
        if let Some(own) = &self.own {
            return Ok(Arc::clone(own));
        }
        let directory = config.state_directory.as_ref().map(Path::new);
        let own = Arc::new(Identity::self_made(directory)?);
        log::warn!(
            "TLS: without certificate and key this box has a certificate of its own making, which \
             a PBX, a client of REST or a browser has to be told to trust: SHA-256 {}",
            own.fingerprint()
        );
        self.own = Some(Arc::clone(&own));
        Ok(own)
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
