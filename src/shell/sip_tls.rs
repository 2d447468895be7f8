//! TLS at our ports: whom each trunk trusts and who it is, and who we are to clients of REST.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;

use super::tls::{Identity, Servers, Trust};
use crate::base::network::Transport;
use crate::gateway::config::{Config, RestTls, Trunk};

struct TrunkTls {
    port: u16,
    trust: Arc<Trust>,
    identity: Option<Arc<Identity>>,
}

/// What TLS of every trunk needs, by the trunk's place, and that of REST.
#[derive(Default)]
pub struct SipTls {
    trunks: Vec<Option<TrunkTls>>,
    /// Where a certificate of our own making is kept.
    directory: Option<PathBuf>,
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
        let mut tls = Self {
            directory: config.state_directory.as_ref().map(PathBuf::from),
            ..Self::default()
        };
        for (at, trunk) in config.trunks.iter().enumerate() {
            tls.set(at, trunk)?;
        }
        tls.rest = tls.http_identity("rest.tls", config.rest.tls.as_ref())?;
        tls.page = tls.http_identity("page.tls", config.page.tls.as_ref())?;
        Ok(tls)
    }

    /// Reads the certificates of a trunk that gets this place.
    ///
    /// # Errors
    ///
    /// A file cannot be used, in words that name the trunk.
    pub fn set(&mut self, at: usize, trunk: &Trunk) -> Result<(), String> {
        let identity = self.identity(trunk)?;
        let new = TrunkTls::new(trunk, identity)?;
        if self.trunks.len() <= at {
            self.trunks.resize_with(at + 1, || None);
        }
        if let Some(place) = self.trunks.get_mut(at) {
            *place = Some(new);
        }
        Ok(())
    }

    /// Forgets those of the trunk at that place.
    pub fn forget(&mut self, at: usize) {
        if let Some(place) = self.trunks.get_mut(at) {
            *place = None;
        }
    }

    /// Reads the files again. Trunks whose files cannot be used keep what they have; why, in words.
    pub fn reload(&mut self, config: &Config) -> Vec<String> {
        let mut problems = Vec::new();
        for trunk in &config.trunks {
            let takes_tls = trunk.transport == Transport::Tls;
            let is_it =
                |tls: &TrunkTls| (tls.port, tls.takes_tls()) == (trunk.local_port, takes_tls);
            let mut known = self.trunks.iter();
            // The others are read when their port is opened.
            if let Some(at) = known.position(|tls| tls.as_ref().is_some_and(is_it))
                && let Err(words) = self.set(at, trunk)
            {
                problems.push(words);
            }
        }
        match self.http_identity("rest.tls", config.rest.tls.as_ref()) {
            Ok(identity) => self.rest = identity,
            Err(words) => problems.push(words),
        }
        match self.http_identity("page.tls", config.page.tls.as_ref()) {
            Ok(identity) => self.page = identity,
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
        let tls = self.trunks.get(trunk)?.as_ref()?;
        Some(Arc::clone(&tls.trust))
    }

    /// The server side of the trunk at that place, where it takes TLS.
    pub fn server(&self, trunk: usize) -> Option<Arc<ServerConfig>> {
        let tls = self.trunks.get(trunk)?.as_ref()?;
        tls.identity.as_ref().map(|identity| identity.server())
    }

    fn identity(&mut self, trunk: &Trunk) -> Result<Option<Arc<Identity>>, String> {
        if trunk.transport != Transport::Tls {
            return Ok(None);
        }
        if let (Some(certificate), Some(key)) = (&trunk.certificate, &trunk.key) {
            let owner = format!("trunk {}", trunk.name);
            let read = Identity::read(&owner, Path::new(certificate), Path::new(key))?;
            return Ok(Some(Arc::new(read)));
        }
        self.own().map(Some)
    }

    fn http_identity(
        &mut self,
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
        self.own().map(Some)
    }

    /// The certificate of our own making.
    fn own(&mut self) -> Result<Arc<Identity>, String> {
        if let Some(own) = &self.own {
            return Ok(Arc::clone(own));
        }
        let own = Arc::new(Identity::self_made(self.directory.as_deref())?);
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
    fn takes_tls(&self) -> bool {
        self.identity.is_some()
    }

    fn new(trunk: &Trunk, identity: Option<Arc<Identity>>) -> Result<Self, String> {
        let servers = Servers::Sip(trunk.name.clone());
        let ca_file = trunk.ca_file.as_ref().map(Into::into);
        let trust = Arc::new(Trust::new(servers, ca_file, identity.clone()));
        // The system's authorities wait until they are needed: to find them takes long.
        if trunk.ca_file.is_some() {
            trust.config()?;
        }
        Ok(Self {
            port: trunk.local_port,
            trust,
            identity,
        })
    }
}
