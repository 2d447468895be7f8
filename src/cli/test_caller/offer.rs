//! The test caller's SDP: its offer as text, and the few facts that it needs of an answer.

use std::net::{IpAddr, SocketAddr};

use super::clip::Clip;

/// Payload type of video in our offers.
pub const VIDEO_PAYLOAD: u8 = 96;

/// Payload type of A-law (RFC 3551).
pub const AUDIO_PAYLOAD: u8 = 8;

/// Where a stream goes that the far end accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// RTP address.
    pub rtp: SocketAddr,
    /// RTCP address.
    pub rtcp: SocketAddr,
}

/// Our offer; a port of `None` leaves the media line out.
pub fn offer(
    host: IpAddr,
    audio: Option<u16>,
    video: Option<u16>,
    feedback: bool,
    clip: &Clip,
) -> String {
    let family = if host.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = format!(
        "v=0\r\no=caller 1 1 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n"
    );
    if let Some(port) = audio {
        text += &format!(
            "m=audio {port} RTP/AVP {AUDIO_PAYLOAD}\r\na=rtpmap:{AUDIO_PAYLOAD} PCMA/8000\r\n\
             a=ptime:20\r\na=sendrecv\r\n"
        );
    }
    if let Some(port) = video {
        text += &format!(
            "m=video {port} RTP/AVP {VIDEO_PAYLOAD}\r\na=rtpmap:{VIDEO_PAYLOAD} H264/90000\r\n\
             a=fmtp:{VIDEO_PAYLOAD} packetization-mode=1;profile-level-id={};\
             sprop-parameter-sets={}\r\na=sendrecv\r\n",
            clip.profile_level_id(),
            clip.sprop_parameter_sets()
        );
        if feedback {
            text += &format!(
                "a=rtcp-fb:{VIDEO_PAYLOAD} nack pli\r\na=rtcp-fb:{VIDEO_PAYLOAD} ccm fir\r\n"
            );
        }
    }
    text
}

/// Where audio and video go by an answer; `None` for what it refuses or lacks.
pub fn read_answer(body: &[u8]) -> (Option<Remote>, Option<Remote>) {
    let text = String::from_utf8_lossy(body);
    let mut session_host = None;
    let mut media: Vec<(String, u16, Option<IpAddr>, Option<u16>)> = Vec::new();
    for line in text.lines().map(str::trim_end) {
        if let Some(rest) = line.strip_prefix("m=") {
            let mut words = rest.split(' ');
            let kind = words.next().unwrap_or_default().to_owned();
            let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(0);
            media.push((kind, port, None, None));
        } else if let Some(rest) = line.strip_prefix("c=") {
            let host = rest.split(' ').nth(2).and_then(|host| host.parse().ok());
            match media.last_mut() {
                Some(last) => last.2 = host,
                None => session_host = host,
            }
        } else if let Some(rest) = line.strip_prefix("a=rtcp:")
            && let Some(last) = media.last_mut()
        {
            last.3 = rest.split(' ').next().and_then(|port| port.parse().ok());
        }
    }
    let find = |wanted: &str| {
        let (_, port, host, rtcp) = media.iter().find(|line| line.0 == wanted)?;
        let host = host.or(session_host)?;
        let rtcp = rtcp.unwrap_or(port.saturating_add(1));
        (*port != 0).then(|| Remote {
            rtp: SocketAddr::new(host, *port),
            rtcp: SocketAddr::new(host, rtcp),
        })
    };
    (find("audio"), find("video"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_where_accepted_media_go() {
        let answer = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 31000 RTP/AVP 8\r\na=rtcp:31005\r\nm=video 31002 RTP/AVP 96\r\n\
            c=IN IP4 192.0.2.2\r\n";
        let (audio, video) = read_answer(answer);
        assert_eq!(audio.unwrap().rtp, "192.0.2.1:31000".parse().unwrap());
        assert_eq!(audio.unwrap().rtcp, "192.0.2.1:31005".parse().unwrap());
        assert_eq!(video.unwrap().rtp, "192.0.2.2:31002".parse().unwrap());
        assert_eq!(video.unwrap().rtcp, "192.0.2.2:31003".parse().unwrap());
    }

    #[test]
    fn refused_and_missing_media_go_nowhere() {
        let answer = b"v=0\r\nc=IN IP6 ::1\r\nm=video 0 RTP/AVP 96\r\n";
        assert_eq!(read_answer(answer), (None, None));
        assert_eq!(read_answer(b"garbage"), (None, None));
    }

    #[test]
    fn an_offer_leaves_out_what_is_not_wanted() {
        let clip = Clip::demonstration();
        let host = "::1".parse().unwrap();
        let text = offer(host, None, Some(5_002), false, &clip);
        assert!(text.contains("c=IN IP6 ::1\r\n"));
        assert!(text.contains("m=video 5002 RTP/AVP 96\r\n"));
        assert!(text.contains("packetization-mode=1;profile-level-id=42"));
        assert!(!text.contains("m=audio") && !text.contains("rtcp-fb"));
        let text = offer(host, Some(5_000), None, true, &clip);
        assert!(text.contains("m=audio 5000 RTP/AVP 8\r\n") && !text.contains("m=video"));
    }
}
