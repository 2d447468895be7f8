//! What the H.264 depacketizer saw.

/// What the depacketizer saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct H264Counters {
    /// Access units handed over.
    pub frames: u64,
    /// Keyframes among them.
    pub keyframes: u64,
    /// Access units dropped because part of them is missing or malformed.
    pub damaged: u64,
    /// Whole access units dropped because what they depend on is missing.
    pub withheld: u64,
    /// Payloads and units whose form is broken.
    pub malformed: u64,
    /// Payloads of a form that was not negotiated.
    pub unsupported: u64,
    /// Access units of more pieces than fit.
    pub too_large: u64,
    /// Parameter sets that could not be taken.
    pub sets_refused: u64,
    /// Whole access units among the withheld whose parameter sets are not known.
    pub without_sets: u64,
    /// Units of scalable and multiview layers left out.
    pub extensions: u64,
    /// Packets without payload.
    pub empty: u64,
}
