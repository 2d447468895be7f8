//! A publisher with its connection, and what both want of the gateway around them.

use core::fmt;

use crate::base::frame_log::FrameLog;
use crate::base::time::Instant;
use crate::gateway::call::Publishing;
use crate::gateway::connections::{Connections, User};
use crate::gateway::outlet::{Level, Outlet, Security};
use crate::gateway::relay::Link;
use crate::gateway::sink::{Sink, SinkMemory};
use crate::rtmp::PublisherEvent;

/// What a publisher works on in one turn.
pub(super) struct Surroundings<'a> {
    pub log: &'a FrameLog,
    pub connections: &'a mut Connections,
    pub sinks: &'a mut SinkMemory,
    pub gather: &'a mut [u8],
    /// Whose connection it has.
    pub user: User,
    /// What its server is.
    pub sink: Sink,
    /// Who it is, for lines of the journal.
    pub label: &'a dyn fmt::Display,
    /// What it publishes, for the same.
    pub stream: &'a str,
}

impl Publishing {
    /// Does what the publisher asks for and sends what it has; whether the caller should make a
    /// keyframe.
    pub(super) fn drive(
        &mut self,
        now: Instant,
        around: &mut Surroundings<'_>,
        outlet: &mut dyn Outlet,
    ) -> bool {
        let mut keyframe_wanted = false;
        // A failed attempt makes an event again at once; two rounds settle every case.
        for _ in 0..2 {
            while let Some(event) = self.publisher.poll_event() {
                keyframe_wanted |= event == PublisherEvent::KeyframeWanted;
                self.obey(now, &event, around, outlet);
            }
            let (publisher, log) = (&mut self.publisher, around.log);
            match &mut self.link {
                Some(link) if link.writable => {
                    link.pump(now, publisher, log, around.gather, outlet);
                }
                // Without a socket to write to, its place in the log still moves on.
                _ => {
                    publisher.poll_transmit(now, log, &mut []);
                }
            }
        }
        keyframe_wanted
    }

    fn obey(
        &mut self,
        now: Instant,
        event: &PublisherEvent,
        around: &mut Surroundings<'_>,
        outlet: &mut dyn Outlet,
    ) {
        match event {
            PublisherEvent::Connect => {
                let url = self.publisher.target();
                let security = if url.is_tls() {
                    Security::Tls
                } else {
                    Security::Plain
                };
                match outlet.connect(url.host(), url.port(), security) {
                    Some(conn) => {
                        self.link = Some(Link {
                            conn,
                            writable: false,
                        });
                        around.connections.insert(conn, around.user);
                    }
                    None => self
                        .publisher
                        .handle_disconnected(now, "the table of connections is full"),
                }
            }
            PublisherEvent::Close => self.close(around.connections, outlet),
            PublisherEvent::Status { status, reason } => {
                let (url, Surroundings { label, stream, .. }) = (self.publisher.url(), around);
                outlet.note(
                    Level::Info,
                    format_args!("{label}: {status} {url} {stream}: {reason}"),
                );
            }
            // Told to the caller when all is done.
            PublisherEvent::KeyframeWanted => {}
            PublisherEvent::ServerTakes { listed, .. } => {
                around.sinks.learned_list(now, around.sink, *listed);
            }
            PublisherEvent::CodecRefused(codec) => {
                around.sinks.learned_refusal(now, around.sink, *codec);
            }
        }
    }

    /// Closes the connection, if there is one.
    pub(super) fn close(&mut self, connections: &mut Connections, outlet: &mut dyn Outlet) {
        if let Some(link) = self.link.take() {
            connections.remove(link.conn);
            outlet.close(link.conn);
        }
    }
}
