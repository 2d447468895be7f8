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

use crate::base::counter::count;
use crate::base::time::Instant;
use crate::rtmp::auth::{self, AuthAnswer, AuthQuery};
use crate::rtmp::commands::{self, CONNECT, CREATE_STREAM, PUBLISH};
use crate::rtmp::control_queue::QueueFull;
use crate::rtmp::heard::{Heard, Refusal};
use crate::rtmp::media_place::Form;
use crate::rtmp::publisher::state::{ANSWER_PATIENCE, State};
use crate::rtmp::publisher::{Publisher, PublisherEvent};
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
                fourccs,
                ..
            } if asked == Some(CONNECT) => {
                self.fourccs = fourccs;
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
            _ => {}
        }
        Ok(())
    }

    pub(super) fn ask_connect(&mut self, now: Instant) -> Result<(), QueueFull> {
        if let Some(link) = &mut self.link {
            let auth = self.auth.as_ref().map(AuthQuery::as_str);
            commands::connect(&mut link.queue, &self.config.url, auth)?;
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
        }
        Ok(())
    }

    fn asking(&mut self, now: Instant, transaction: u32) {
        self.state = State::Asking {
            transaction,
            until: now + ANSWER_PATIENCE,
        };
    }

    fn begin(&mut self, now: Instant) {
        let Some(link) = &self.link else { return };
        let form = Form {
            stream_id: self.stream_id,
            to_publish: true,
            first_timestamp: self.config.first_timestamp,
            takes: Takes::legacy(),
        };
        // On return the caller should make a keyframe even where an old one is kept.
        let ask = self.status.was_active();
        self.media.start(form, link.queue.chunk_bytes(), ask);
        count(&mut self.counters.accepted);
        self.state = State::Active { since: now };
    }

    fn refused(&mut self, now: Instant, transaction: u32, refusal: Refusal) {
        let answer = if transaction == CONNECT {
            let credentials = self.config.url.credentials();
            auth::answer(&refusal.description, credentials, &mut self.rng)
        } else {
            AuthAnswer::None
        };
        match answer {
            AuthAnswer::Retry(query) if self.auth_steps < 2 => {
                // Asked for, so no failure: back at once, with what was asked for.
                self.auth_steps = self.auth_steps.saturating_add(1);
                self.auth = Some(query);
                self.drop_link();
                self.push(PublisherEvent::Close);
                self.attempt(now);
            }
            AuthAnswer::Retry(_) | AuthAnswer::Refused => {
                self.fail(
                    now,
                    reason(format_args!("the server refused user and password")),
                    true,
                );
            }
            AuthAnswer::Wanted => {
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
