//! What the VP8 depacketizer saw.

/// What the depacketizer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Counters {
    /// Frames handed over.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Frames dropped because part of them is missing or malformed.
    pub damaged: u64,
    /// Whole frames dropped because what they depend on is missing.
    pub withheld: u64,
    /// Whole frames of higher temporal layers among those, while the base layer goes on.
    pub layered: u64,
    /// Payloads whose form is broken.
    pub malformed: u64,
    /// Frames that no decoder would take: a keyframe without start code or of an empty picture, a
    /// frame that ends within its first partition.
    pub illegal: u64,
    /// Frames of more packets than fit.
    pub too_large: u64,
    /// Packets without frame data.
    pub empty: u64,
}
