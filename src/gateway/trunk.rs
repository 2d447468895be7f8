//! One trunk at work: its configuration, its SIP endpoint, and what it may negotiate.

use crate::base::rng::Rng;
use crate::gateway::config::TrunkConfig;
use crate::sdp::CodecPlan;
use crate::sip::{SipConfig, SipEndpoint};

/// A trunk and its SIP endpoint.
pub struct Trunk {
    /// Its settings.
    pub config: TrunkConfig,
    /// What its calls may use.
    pub plan: CodecPlan,
    /// SIP on its port.
    pub endpoint: SipEndpoint,
    /// Connections that are being opened for the endpoint, and where to.
    pub opening: heapless::Vec<(ConnId, SocketAddr), TRUNK_OPENING>,
    /// Whether the endpoint was touched since it was last drained.
    pub dirty: bool,
}
