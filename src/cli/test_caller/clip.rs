//! What the test caller sends: a short clip, cut into RTP payloads once and then repeated.

use rtp::codecs::h264::H264Payloader;
use rtp::packetizer::Payloader;

/// Bytes of one RTP payload at most.
const PAYLOAD_BYTES: usize = 1_200;

/// Samples of one audio packet: 20 ms.
pub const AUDIO_SAMPLES: usize = 160;

/// A clip of H.264 and A-law. Video and audio last equally long and repeat.
#[derive(Clone, Debug)]
pub struct Clip {
    frames: Vec<ClipFrame>,
    frame_rate: u32,
    alaw: Vec<u8>,
    sps: Vec<u8>,
    pps: Vec<u8>,
}

/// One access unit.
#[derive(Clone, Debug)]
pub struct ClipFrame {
    /// RTP payloads in order: STAP-A for parameter sets, single NAL units and FU-A.
    pub payloads: Vec<Vec<u8>>,
    /// Whether it holds an IDR picture.
    pub keyframe: bool,
}

impl Clip {
    /// The clip of `trunkcast demo`: a second, 640x360 at 25 pictures, which begins with a keyframe;
    /// [`FLASH_FRAME`] pictures after it a white flash and a beep begin.
    pub fn demonstration() -> Self {
        Self::new(
            include_bytes!("../demo_clip/clip.h264"),
            include_bytes!("../demo_clip/clip.alaw"),
            25,
        )
    }

    /// A clip of an Annex B stream and raw A-law at 8 kHz. Of `alaw` a whole number of packets is
    /// used.
    pub fn new(annex_b: &[u8], alaw: &[u8], frame_rate: u32) -> Self {
        let units = nal_units(annex_b);
        let first = |kind: u8| {
            let unit = units.iter().find(|unit| nal_type(unit) == kind);
            unit.map(|unit| unit.to_vec()).unwrap_or_default()
        };
        let (sps, pps) = (first(7), first(8));
        let frames = access_units(&units)
            .iter()
            .map(|unit| ClipFrame::new(unit))
            .collect();
        let whole = alaw.len() - alaw.len() % AUDIO_SAMPLES;
        let alaw = alaw.get(..whole).unwrap_or_default().to_vec();
        Self {
            frames,
            frame_rate: frame_rate.max(1),
            alaw,
            sps,
            pps,
        }
    }

    /// Access units of one round.
    pub fn frames(&self) -> &[ClipFrame] {
        &self.frames
    }

    /// Pictures a second.
    pub fn frame_rate(&self) -> u32 {
        self.frame_rate
    }

    /// The access unit at `index` of an endless repetition.
    pub fn frame(&self, index: u64) -> Option<&ClipFrame> {
        let len = self.frames.len() as u64;
        self.frames.get(index.checked_rem(len)? as usize)
    }

    /// The 20 ms of A-law at `index` of an endless repetition.
    pub fn audio(&self, index: u64) -> Option<&[u8]> {
        let packets = (self.alaw.len() / AUDIO_SAMPLES) as u64;
        let at = index.checked_rem(packets)? as usize * AUDIO_SAMPLES;
        self.alaw.get(at..at + AUDIO_SAMPLES)
    }

    /// `profile-level-id` of the SPS (RFC 6184, section 8.1).
    pub fn profile_level_id(&self) -> String {
        let bytes = self.sps.get(1..4).unwrap_or(&[0x42, 0xe0, 0x1f]);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `sprop-parameter-sets` (RFC 6184, section 8.1).
    pub fn sprop_parameter_sets(&self) -> String {
        format!("{},{}", base64(&self.sps), base64(&self.pps))
    }
}

/// Pictures from a keyframe of the demonstration's clip to the flash.
pub const FLASH_FRAME: u32 = 13;

/// Pictures from one keyframe of the demonstration's clip to the next.
pub const KEYFRAME_EVERY: u32 = 25;

impl ClipFrame {
    fn new(units: &[&[u8]]) -> Self {
        let mut annex_b = Vec::new();
        for unit in units {
            annex_b.extend_from_slice(&[0, 0, 0, 1]);
            annex_b.extend_from_slice(unit);
        }
        let payloads = H264Payloader::default().payload(PAYLOAD_BYTES, &annex_b.into());
        let payloads = payloads
            .unwrap_or_default()
            .iter()
            .map(|bytes| bytes.to_vec())
            .collect();
        Self {
            payloads,
            keyframe: units.iter().any(|unit| nal_type(unit) == 5),
        }
    }
}

fn nal_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

/// The NAL units of an Annex B stream, without start codes and the zeros around them.
fn nal_units(annex_b: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = annex_b
        .windows(3)
        .enumerate()
        .filter_map(|(at, bytes)| (bytes == [0, 0, 1]).then_some(at))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([annex_b.len()]);
    starts
        .iter()
        .zip(ends)
        .filter_map(|(start, end)| annex_b.get(start + 3..end))
        .map(|unit| {
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
            unit.split_at(unit.len() - zeros).0
        })
        .filter(|unit| !unit.is_empty())
        .collect()
}

/// Groups NAL units into access units: a new one begins with whatever follows a picture and is not
/// another slice of it (H.264, section 7.4.1.2.3, as far as simple streams need it).
fn access_units<'a>(units: &[&'a [u8]]) -> Vec<Vec<&'a [u8]>> {
    let mut all: Vec<Vec<&[u8]>> = Vec::new();
    let mut has_slice = true;
    for unit in units {
        let is_slice = matches!(nal_type(unit), 1..=5);
        let begins = !is_slice || unit.get(1).is_some_and(|byte| byte & 0x80 != 0);
        if has_slice && begins {
            all.push(Vec::new());
            has_slice = false;
        }
        has_slice |= is_slice;
        if let Some(last) = all.last_mut() {
            last.push(unit);
        }
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * at) & 63) as usize).copied();
            let digit = digit.filter(|_| at <= group.len());
            text.push(char::from(digit.unwrap_or(b'=')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_is_a_second_that_begins_with_a_keyframe() {
        let clip = Clip::demonstration();
        assert_eq!(clip.frames().len(), 25);
        for (at, frame) in clip.frames().iter().enumerate() {
            assert_eq!(
                frame.keyframe,
                at % KEYFRAME_EVERY as usize == 0,
                "frame {at}"
            );
            assert!(
                frame
                    .payloads
                    .iter()
                    .all(|payload| payload.len() <= PAYLOAD_BYTES)
            );
        }
        let kinds: Vec<u8> = clip.frames()[0]
            .payloads
            .iter()
            .map(|bytes| nal_type(bytes))
            .collect();
        assert_eq!(kinds[0], 24, "parameter sets first");
        assert!(kinds.contains(&28), "keyframes go in fragments");
        assert_eq!(clip.audio(0).unwrap().len(), AUDIO_SAMPLES);
        assert_eq!(clip.audio(50), clip.audio(0));
    }

    #[test]
    fn the_beep_begins_with_the_flash() {
        let clip = Clip::demonstration();
        let flash_millis = FLASH_FRAME * 1_000 / clip.frame_rate();
        let loud = |index| {
            clip.audio(index)
                .unwrap()
                .iter()
                .any(|code| !matches!(code, 0x55 | 0xd5))
        };
        let first = (0..50).find(|index| loud(*index)).unwrap();
        assert_eq!(first * 20, u64::from(flash_millis));
    }

    #[test]
    fn slices_of_one_picture_stay_together() {
        let stream = [
            &[0, 0, 0, 1, 0x67, 1][..],
            &[0, 0, 1, 0x68, 2],
            &[0, 0, 1, 0x65, 0x88, 1],
            &[0, 0, 1, 0x65, 0x08, 2],
            &[0, 0, 1, 0x41, 0x9a, 3],
            &[0, 0, 1, 0x41, 0x9a, 4, 0],
        ]
        .concat();
        let units = nal_units(&stream);
        let sizes: Vec<usize> = access_units(&units).iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 1, 1]);
        assert_eq!(units[5], [0x41, 0x9a, 4]);
    }

    #[test]
    fn base64_pads_as_rfc_4648_says() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn an_empty_clip_has_nothing_to_send() {
        let clip = Clip::new(&[], &[], 25);
        assert!(clip.frame(3).is_none() && clip.audio(3).is_none());
    }
}
