//! Configurations of every codec, as the depacketisers make them.

use std::rc::Rc;

use trunkcast::base::codec::{AacConfig, CodecConfig, Vp8Config};

pub fn vp8(width: u16, height: u16) -> Rc<CodecConfig> {
    Rc::new(CodecConfig::Vp8(Vp8Config { width, height }))
}

pub fn opus() -> Rc<CodecConfig> {
    Rc::new(CodecConfig::Opus { channels: 2 })
}

/// AAC-LC in stereo by its AudioSpecificConfig.
pub fn aac(specific: &[u8], sample_rate: u32) -> Rc<CodecConfig> {
    Rc::new(CodecConfig::Aac(AacConfig {
        specific: heapless::Vec::from_slice(specific).expect("a short configuration"),
        sample_rate,
        channels: 2,
        frame_samples: 1_024,
    }))
}

pub fn plain(config: CodecConfig) -> Rc<CodecConfig> {
    Rc::new(config)
}
