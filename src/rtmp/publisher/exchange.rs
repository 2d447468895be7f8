//! The exchange of commands with a server: `connect` and `createStream` (RTMP 1.0, section 7.2.1),
//! `publish` and the end of the stream (section 7.2.2), each asked for when the one before is
//! answered.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

use crate::base::codec::CodecSet;
use crate::base::counter::count;
use crate::base::time::Instant;
use crate::rtmp::auth::{self, AuthAnswer, AuthQuery};
use crate::rtmp::capabilities::Capabilities;
use crate::rtmp::commands::{self, CONNECT, CREATE_STREAM, PUBLISH};
use crate::rtmp::control_queue::QueueFull;
use crate::rtmp::heard::Heard;
use crate::rtmp::media_place::Form;
use crate::rtmp::publisher::state::{ANSWER_PATIENCE, MOVE_PATIENCE, START_PATIENCE, State};
use crate::rtmp::publisher::{PublishFault, Publisher, PublisherEvent};
use crate::rtmp::refusal::Refusal;
use crate::rtmp::takes::Takes;
use crate::rtmp::words::reason;

impl Publisher {
    pub(super) fn handle_heard(&mut self, now: Instant, heard: Heard) -> Result<(), QueueFull> {
        let asked = match self.state {
            State::Asking { transaction, .. } => Some(transaction),
            _ => None,
        };
        match heard {
            Heard::Result {
                transaction: CONNECT,
                capabilities,
                ..
            } if asked == Some(CONNECT) => {
                self.push(PublisherEvent::ServerTakes {
                    codecs: capabilities.takes().codecs(),
                    listed: capabilities.listed,
                    lists: capabilities.lists,
                });
                self.capabilities = Some(capabilities);
                return self.ask_stream(now);
            }
            Heard::Result {
                transaction: CREATE_STREAM,
                number,
                ..
            } if asked == Some(CREATE_STREAM) => match number {
                Some(stream_id) => return self.ask_publish(now, stream_id),
                None => self.fail(
                    now,
                    reason(format_args!("createStream gave no stream")),
                    true,
                ),
            },
            Heard::PublishStart if asked == Some(PUBLISH) => self.begin(now),
            Heard::PublishStartByName
            | Heard::Result {
                transaction: PUBLISH,
                ..
            } => {
                self.half_started = true;
                self.shorten_wait(now);
            }
            Heard::Error {
                transaction,
                refusal,
            } if asked == Some(transaction)
                && matches!(transaction, CONNECT | CREATE_STREAM | PUBLISH) =>
            {
                self.refused(now, transaction, refusal);
            }
            Heard::Refused(refusal) => match self.state {
                State::Stopping { .. } => {}
                _ => self.refused(now, asked.unwrap_or(PUBLISH), refusal),
            },
            Heard::Unpublished(refusal) if matches!(self.state, State::Active { .. }) => {
                self.refused(now, PUBLISH, refusal);
            }
            Heard::Move { to } => self.asked_to_move(now, to.as_deref()),
            Heard::Call { transaction } => {
                if let Some(link) = &mut self.link {
                    return commands::answer(&mut link.queue, transaction);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn ask_connect(&mut self, now: Instant) -> Result<(), QueueFull> {
        if let Some(link) = &mut self.link {
            let auth = self.auth.as_ref().map(AuthQuery::as_str);
            let url = self.target.url(&self.config.url);
            commands::connect(&mut link.queue, url, auth)?;
            self.asking(now, CONNECT);
        }
        Ok(())
    }

    fn ask_stream(&mut self, now: Instant) -> Result<(), QueueFull> {
        if let Some(link) = &mut self.link {
            commands::create_stream(&mut link.queue, &self.config.stream_name)?;
            self.asking(now, CREATE_STREAM);
        }
        Ok(())
    }

    fn ask_publish(&mut self, now: Instant, stream_id: u32) -> Result<(), QueueFull> {
        if let Some(link) = &mut self.link {
            self.stream_id = stream_id;
            commands::publish(&mut link.queue, &self.config.stream_name, stream_id)?;
            self.asking(now, PUBLISH);
            self.shorten_wait(now);
        }
        Ok(())
    }

    fn asking(&mut self, now: Instant, transaction: u32) {
        self.state = State::Asking {
            transaction,
            until: now + ANSWER_PATIENCE,
        };
    }

    /// A server that has said in its own way that the stream may begin is not waited for long.
    fn shorten_wait(&mut self, now: Instant) {
        if let State::Asking {
            transaction: PUBLISH,
            until,
        } = &mut self.state
            && self.half_started
        {
            *until = now + START_PATIENCE;
        }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        let Some(link) = &self.link else { return };
        let form = Form {
            stream_id: self.stream_id,
            to_publish: true,
            first_timestamp: self.config.first_timestamp,
            takes: self.takes(),
        };
        // On return the caller should make a keyframe even where an old one is kept.
        let ask = self.status.was_active();
        self.media.start(form, link.queue.chunk_bytes(), ask);
        count(&mut self.counters.accepted);
        self.target.accepted();
        self.suspicion.began(now);
        self.state = State::Active { since: now };
    }

    /// What may be sent to this server, and in which form.
    pub(super) fn takes(&self) -> Takes {
        let server = self.capabilities.as_ref().map(Capabilities::takes);
        let not_ours = CodecSet::ALL.without(self.config.abilities);
        server
            .unwrap_or_default()
            .without(not_ours.union(self.suspicion.left_out()))
    }

    /// Enhanced RTMP, version 2, "Reconnect Request": goes on here until a keyframe comes with which
    /// the new connection can begin.
    fn asked_to_move(&mut self, now: Instant, to: Option<&str>) {
        let key = self.config.stream_name.reveal();
        match self.state {
            State::Active { .. } | State::Asking { .. } if self.moving.is_none() => {}
            _ => return,
        }
        match self.target.follow(&self.config.url, key, to) {
            Ok(()) => {
                // Another server has challenges of its own, and no business with these answers.
                self.auth = None;
                self.auth_steps = 0;
                if self.media.sends_video() {
                    self.moving = Some(now + MOVE_PATIENCE);
                    self.media.ask_keyframe();
                } else {
                    self.depart(now);
                }
            }
            Err(why) => {
                self.suspicion.abandoned();
                self.fail(now, reason(format_args!("{why}")), true);
            }
        }
    }

    fn refused(&mut self, now: Instant, transaction: u32, refusal: Refusal) {
        if let Some(to) = &refusal.redirect
            && matches!(self.state, State::Asking { .. })
        {
            return self.asked_to_move(now, Some(to));
        }
        let sent = self.media.sent();
        let candidates = if sent.is_empty() {
            self.takes().codecs()
        } else {
            sent
        };
        self.fault = Some(match refusal.blames(candidates) {
            Some(codec) if transaction == PUBLISH => PublishFault::Codec(codec),
            _ => refusal.fault,
        });
        let candidates = self.suspicion.open(candidates);
        if transaction == PUBLISH
            && let Some(codec) = refusal.blames(candidates)
            && self.suspicion.told(codec)
        {
            self.push(PublisherEvent::CodecRefused(codec));
            self.suspicion.abandoned();
        }
        if refusal.is_about_name {
            self.suspicion.abandoned();
        }
        let answer = if transaction == CONNECT {
            let credentials = self.target.url(&self.config.url).credentials();
            auth::answer(&refusal.description, credentials, &mut self.rng)
        } else {
            AuthAnswer::None
        };
        match answer {
            AuthAnswer::Retry(query) if self.auth_steps < 2 => {
                self.fault = None;
                // Asked for, so no failure: back at once, with what was asked for.
                self.auth_steps = self.auth_steps.saturating_add(1);
                self.auth = Some(query);
                self.depart(now);
            }
            AuthAnswer::Retry(_) | AuthAnswer::Refused => {
                self.fault = Some(PublishFault::Credentials);
                self.fail(
                    now,
                    reason(format_args!("the server refused user and password")),
                    true,
                );
            }
            AuthAnswer::Wanted => {
                self.fault = Some(PublishFault::Credentials);
                self.fail(
                    now,
                    reason(format_args!("the server wants user and password")),
                    true,
                );
            }
            AuthAnswer::None => self.fail(now, refusal.words, true),
        }
    }

    pub(super) fn say_farewell(&mut self) -> Result<(), QueueFull> {
        if let Some(link) = &mut self.link {
            commands::farewell(&mut link.queue, &self.config.stream_name, self.stream_id)?;
        }
        if let State::Stopping { said, .. } = &mut self.state {
            *said = true;
        }
        Ok(())
    }
}
