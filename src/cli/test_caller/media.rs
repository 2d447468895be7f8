//! One RTP stream of the test caller, with its RTCP, over a pair of UDP sockets.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtp::header::Header;
use webrtc_util::marshal::Marshal;

use super::CallerStats;
use super::clip::{AUDIO_SAMPLES, Clip};
use super::offer::{AUDIO_PAYLOAD, Remote, VIDEO_PAYLOAD};
use crate::base::codec::Track;
use crate::base::rng::Rng;
use crate::base::time::NtpTime;
use crate::limits::{PACKET_BYTES, RTCP_COMPOUND_BYTES};
use crate::wire::rtcp::{self, CompoundWriter, RtcpPacket, SenderInfo};

/// Time from one sender report to the next; the first leaves with the first packet.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Seconds from 1900, where NTP begins, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// One stream: opened with the offer, started by the answer.
pub struct MediaStream {
    track: Track,
    rtp: UdpSocket,
    rtcp: UdpSocket,
    header: Header,
    /// RTP time of `begun`.
    base: u32,
    running: Option<Running>,
    packets: u32,
    octets: u32,
    cname: String,
}

struct Running {
    remote: Remote,
    begun: Instant,
    /// The next frame or audio packet.
    index: u64,
    report_at: Option<Instant>,
}

/// What of the sending may be bent for a test.
#[derive(Clone, Copy, Debug)]
pub struct MediaOptions {
    /// Whether sender reports are sent.
    pub reports: bool,
    /// Every how many video packets one is not sent; 0 for none.
    pub lose_every: u32,
}

impl MediaStream {
    /// Binds an even port and the one above it.
    pub fn open(track: Track, host: IpAddr, cname: &str, rng: &mut Rng) -> io::Result<Self> {
        let (rtp, rtcp) = bind_pair(host)?;
        let base = rng.u32();
        let header = Header {
            version: 2,
            payload_type: match track {
                Track::Audio => AUDIO_PAYLOAD,
                Track::Video => VIDEO_PAYLOAD,
            },
            sequence_number: (rng.u32() >> 16) as u16,
            ssrc: rng.u32(),
            ..Header::default()
        };
        Ok(Self {
            track,
            rtp,
            rtcp,
            header,
            base,
            running: None,
            packets: 0,
            octets: 0,
            cname: cname.into(),
        })
    }

    /// The RTP port.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.rtp.local_addr()?.port())
    }

    /// Begins to send; `begun` is the moment of the clip's start, the same for both streams.
    pub fn start(&mut self, begun: Instant, remote: Remote, options: &MediaOptions) {
        let report_at = options.reports.then_some(begun);
        self.running = Some(Running {
            remote,
            begun,
            index: 0,
            report_at,
        });
    }

    /// When something is to be sent.
    pub fn due(&self, clip: &Clip) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let frame = running.begun + self.frame_offset(clip, running.index);
        Some(running.report_at.map_or(frame, |report| report.min(frame)))
    }

    /// Sends what is due.
    pub fn send_due(
        &mut self,
        now: Instant,
        clip: &Clip,
        options: &MediaOptions,
        stats: &mut CallerStats,
    ) -> io::Result<()> {
        loop {
            let Some(running) = &mut self.running else {
                return Ok(());
            };
            if running.report_at.is_some_and(|at| at <= now) {
                running.report_at = Some(now + REPORT_EVERY);
                self.send_report(now, false)?;
                continue;
            }
            let index = running.index;
            if running.begun + self.frame_offset(clip, index) > now {
                return Ok(());
            }
            if let Some(running) = &mut self.running {
                running.index = index + 1;
            }
            match self.track {
                Track::Audio => {
                    let Some(samples) = clip.audio(index) else {
                        return Ok(());
                    };
                    self.header.marker = index == 0;
                    self.header.timestamp = self
                        .base
                        .wrapping_add((index as u32).wrapping_mul(AUDIO_SAMPLES as u32));
                    self.send_packet(samples, options, stats)?;
                }
                Track::Video => {
                    let Some(frame) = clip.frame(index) else {
                        return Ok(());
                    };
                    let ticks = index.wrapping_mul(90_000) / u64::from(clip.frame_rate());
                    self.header.timestamp = self.base.wrapping_add(ticks as u32);
                    let last = frame.payloads.len().saturating_sub(1);
                    for (at, payload) in frame.payloads.iter().enumerate() {
                        self.header.marker = at == last;
                        self.send_packet(payload, options, stats)?;
                    }
                    stats.video_frames += 1;
                }
            }
        }
    }

    /// Reads what came.
    pub fn receive(&mut self, stats: &mut CallerStats) {
        let mut buffer = [0; PACKET_BYTES];
        while let Ok(len) = self.rtp.recv(&mut buffer) {
            stats.received_packets += 1;
            stats.received_bytes += len as u64;
        }
        while let Ok(len) = self.rtcp.recv(&mut buffer) {
            let datagram = buffer.get(..len).unwrap_or_default();
            for packet in rtcp::packets(datagram).flatten() {
                self.note(&packet, stats);
            }
        }
    }

    /// Says goodbye by RTCP and stops.
    pub fn stop(&mut self, now: Instant) -> io::Result<()> {
        if self.running.is_some() {
            self.send_report(now, true)?;
            self.running = None;
        }
        Ok(())
    }

    fn note(&self, packet: &RtcpPacket, stats: &mut CallerStats) {
        match packet {
            RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                stats.reports_received += 1;
                for block in blocks.iter().filter(|block| block.ssrc == self.header.ssrc) {
                    match self.track {
                        Track::Audio => stats.audio_lost = block.cumulative_lost,
                        Track::Video => stats.video_lost = block.cumulative_lost,
                    }
                }
            }
            RtcpPacket::PictureLoss { .. } => stats.picture_loss += 1,
            RtcpPacket::FullIntra { .. } => stats.full_intra += 1,
            RtcpPacket::Bye(_) => stats.goodbyes += 1,
            RtcpPacket::Missing { .. }
            | RtcpPacket::BitrateRequest(_)
            | RtcpPacket::BitrateNotification { .. }
            | RtcpPacket::Other(_) => {}
        }
    }

    fn send_packet(
        &mut self,
        payload: &[u8],
        options: &MediaOptions,
        stats: &mut CallerStats,
    ) -> io::Result<()> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let mut packet = [0; PACKET_BYTES];
        let header = self
            .header
            .marshal_to(&mut packet)
            .map_err(io::Error::other)?;
        let Some(space) = packet.get_mut(header..header + payload.len()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        space.copy_from_slice(payload);
        let whole = packet.get(..header + payload.len()).unwrap_or_default();
        self.header.sequence_number = self.header.sequence_number.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload.len() as u32);
        let lost = self.track == Track::Video
            && options.lose_every > 0
            && self.packets.is_multiple_of(options.lose_every);
        match self.track {
            Track::Audio => stats.audio_packets += 1,
            Track::Video => stats.video_packets += 1,
        }
        if lost {
            stats.withheld += 1;
            return Ok(());
        }
        stats.sent_bytes += whole.len() as u64;
        send_to(&self.rtp, whole, running.remote.rtp)
    }

    fn send_report(&self, now: Instant, goodbye: bool) -> io::Result<()> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let passed = now.saturating_duration_since(running.begun).as_micros();
        let ticks = passed * u128::from(self.clock_rate()) / 1_000_000;
        let info = SenderInfo {
            ntp: wall_clock(),
            rtp_timestamp: self.base.wrapping_add(ticks as u32),
            packets: self.packets,
            octets: self.octets,
        };
        let mut out = [0; RTCP_COMPOUND_BYTES];
        let mut compound = CompoundWriter::new(&mut out);
        compound.sender_report(self.header.ssrc, &info, None);
        compound.cname(self.header.ssrc, &self.cname);
        if goodbye {
            compound.bye(self.header.ssrc);
        }
        let len = compound.finish().unwrap_or(0);
        send_to(
            &self.rtcp,
            out.get(..len).unwrap_or_default(),
            running.remote.rtcp,
        )
    }

    fn clock_rate(&self) -> u32 {
        match self.track {
            Track::Audio => 8_000,
            Track::Video => 90_000,
        }
    }

    fn frame_offset(&self, clip: &Clip, index: u64) -> Duration {
        match self.track {
            Track::Audio => Duration::from_millis(index.saturating_mul(20)),
            Track::Video => {
                let micros = index.saturating_mul(1_000_000) / u64::from(clip.frame_rate());
                Duration::from_micros(micros)
            }
        }
    }
}

/// Sends a datagram; a far end that has gone is no error of ours.
pub fn send_to(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
    match socket.send_to(bytes, to) {
        Ok(_) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

fn bind_pair(host: IpAddr) -> io::Result<(UdpSocket, UdpSocket)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..64 {
        let rtp = UdpSocket::bind((host, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 || port == u16::MAX {
            continue;
        }
        match UdpSocket::bind((host, port + 1)) {
            Ok(rtcp) => {
                rtp.set_nonblocking(true)?;
                rtcp.set_nonblocking(true)?;
                return Ok((rtp, rtcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn wall_clock() -> NtpTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since.as_secs().wrapping_add(NTP_TO_UNIX);
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    NtpTime(seconds << 32 | fraction)
}
