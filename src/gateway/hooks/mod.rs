//! Hooks: what a backend over HTTP is told of calls, and asked.
//!
//! Each event is a POST of JSON to the backend's address and the method's name. The events of one call
//! go out one after another, in order; those of different calls over several connections at once. An
//! event that the backend did not take (no connection, no whole answer in time, 408, 429 or 5xx) is
//! repeated after 1, 2, 4 s and so on, as long as `retrySeconds` says, and may so come twice; any other
//! answer settles it. While the backend does not answer at all, one event at a time finds out whether
//! it does again. The queue is bounded, and no call waits for it, but for incoming ones that are to be
//! asked about (`onCall: ask`).
//!
//! What answers hold is not looked at: `restClientConfig` belongs to `connect`, which calls of SIP do
//! not have. REST-made calls report `call` and `hangup` in the name of their client, and have a session
//! of their own.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod asking;
mod body;
pub mod client;
mod health;
mod method;
pub mod node;
pub mod queue;
mod serving;
mod target;
mod told;

use core::mem::Discriminant;

use crate::base::ids::ConnId;
use crate::base::time::Instant;
use crate::gateway::config::{self, OnCall};
use crate::gateway::connections::{Connections, User};
use crate::gateway::outlet::{Level, Outlet};
use crate::limits::HOOK_CONNECTIONS_MAX;
use crate::sip::{RegistrationId, RegistrationState};

pub use method::{Method, MethodSet};

use asking::{Asked, Word};
use client::{Client, ClientEvent, Failure};
use health::Health;
use queue::{Lane, Queue};
use target::Target;
use told::Told;

pub use queue::QueueCounters;

/// Rounds of connecting and writing in one turn; what is left waits for the next.
const ROUNDS: usize = 2 * HOOK_CONNECTIONS_MAX;

/// What hooks did and gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookCounters {
    /// Events that the backend took.
    pub delivered: u64,
    /// Events and questions that it answered with something else than 2xx, 408, 429 or 5xx.
    pub refused: u64,
    /// Tries that failed: no connection, no answer, 408, 429 or 5xx.
    pub failed: u64,
    /// Incoming calls that the backend refused.
    pub calls_rejected: u64,
    /// Incoming calls of which the backend said nothing in time.
    pub questions_unanswered: u64,
    /// Times that a defect of this program touched what waited.
    pub crashed: u64,
}

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// An event of the queue.
    Event(u64, Lane, Method),
    /// The question about a call.
    Question(u64),
}

/// A connection to the backend.
#[derive(Debug, Default)]
struct Line {
    client: Client,
    conn: Option<ConnId>,
    task: Option<Task>,
}

/// What the rest of the gateway has to do then.
enum Verdict {
    /// A call that waited goes on or not.
    Word(Asked, Word),
    /// The call of this number was refused after it was taken.
    End(u64, u16),
}

/// The backend and everything that is on its way there.
pub struct Hooks {
    config: config::Hooks,
    target: Target,
    node: Box<str>,
    queue: Queue,
    lines: Vec<Line>,
    asked: Vec<Asked>,
    /// Calls that were asked about and are about to begin: Call-ID and session.
    seen: Vec<(String, Box<str>)>,
    told: Vec<Option<Box<Told>>>,
    registrations: Vec<(usize, RegistrationId, Discriminant<RegistrationState>)>,
    health: Health,
    /// Calls with a lower number began before there was a backend to tell.
    first_call: u64,
    next_session: u64,
    next_question: u64,
    next_lane: u64,
    dirty: bool,
    counters: HookCounters,
}

impl Hooks {
    /// Nothing to tell yet; room for so many calls, the next of which has this number.
    pub fn new(config: config::Hooks, calls: usize, first_call: u64) -> Self {
        Self {
            target: Target::of(&config),
            node: Box::default(),
            queue: Queue::default(),
            lines: lines(&config),
            asked: Vec::new(),
            seen: Vec::new(),
            told: (0..calls).map(|_| None).collect(),
            registrations: Vec::new(),
            health: Health::default(),
            first_call,
            next_session: 0,
            next_question: 0,
            next_lane: 0,
            dirty: true,
            counters: HookCounters::default(),
            config,
        }
    }

    /// A lane for a call that never got a number.
    fn new_lane(&mut self) -> Lane {
        self.next_lane = self.next_lane.wrapping_add(1);
        Lane::Call(u64::MAX - self.next_lane)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.dirty {
            return Some(Instant::ZERO);
        }
        let lines = self.lines.iter();
        let clients = lines.filter_map(|line| line.client.poll_timeout()).min();
        let asked = self.asked.iter().map(|asked| asked.until).min();
        let due = self.queue.poll_timeout();
        let due = due.filter(|_| self.free_line(false).is_some());
        let due = match self.health.probe_at() {
            Some(_) if self.busy_with_events() > 0 => None,
            Some(probe) => due.map(|due| due.max(probe)),
            None => due,
        };
        Instant::earliest(Instant::earliest(clients, asked), due)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.dirty = true;
        }
        for line in &mut self.lines {
            line.client.handle_timeout(now);
        }
    }

    fn busy_with_events(&self) -> usize {
        let is_event = |line: &&Line| matches!(line.task, Some(Task::Event(..)));
        self.lines.iter().filter(is_event).count()
    }

    /// A connection for an event or a question, best one that is up.
    fn free_line(&self, for_question: bool) -> Option<usize> {
        // One is always left to questions, which callers wait for.
        let kept = usize::from(self.config.on_call == OnCall::Ask && self.lines.len() > 1);
        if !for_question && self.busy_with_events() >= self.lines.len().saturating_sub(kept) {
            return None;
        }
        let is_free = |line: &Line| line.task.is_none() && line.client.is_free();
        let lines = self.lines.iter();
        let up = lines
            .clone()
            .position(|it| is_free(it) && it.client.is_connected());
        up.or_else(|| lines.clone().position(is_free))
    }

    /// Gives free connections something to do.
    fn dispatch(&mut self, now: Instant) {
        while let Some(at) = self.free_line(true)
            && let Some(asked) = self.asked.iter_mut().find(|asked| !asked.is_sent)
        {
            asked.is_sent = true;
            let request = self.target.request(Method::OnCallEvent, &asked.body);
            let (task, until) = (Task::Question(asked.id), asked.until);
            self.begin(at, task, request, until);
        }
        while let Some(at) = self.free_line(false) {
            let must_wait = match self.health.probe_at() {
                Some(probe) => now < probe || self.busy_with_events() > 0,
                None => false,
            };
            if must_wait {
                return;
            }
            let Some(next) = self.queue.next(now) else {
                return;
            };
            let method = next.event.method;
            let request = self.target.request(method, &next.event.body);
            let task = Task::Event(next.id, next.lane, method);
            self.begin(at, task, request, now + self.config.timeout);
        }
    }

    fn begin(&mut self, at: usize, task: Task, request: Vec<u8>, until: Instant) {
        if let Some(line) = self.lines.get_mut(at) {
            line.task = Some(task);
            line.client.send(request, until);
        }
    }

    /// Moves everything on that can move now.
    fn drive(
        &mut self,
        now: Instant,
        connections: &mut Connections,
        outlet: &mut dyn Outlet,
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let is_late = |asked: &Asked| asked.until <= now;
        while let Some(at) = self.asked.iter().position(is_late) {
            let asked = self.asked.remove(at);
            let words = Failure::Timeout.to_string();
            verdicts.push(Verdict::Word(asked, Word::Nothing(words)));
        }
        for _ in 0..ROUNDS {
            self.dispatch(now);
            let mut is_still = true;
            for at in 0..self.lines.len() {
                while let Some(event) = self.next_event(at) {
                    is_still = false;
                    match event {
                        ClientEvent::Connect => self.connect(at, connections, outlet),
                        ClientEvent::Close => self.close(at, connections, outlet),
                        ClientEvent::Done(result) => {
                            verdicts.extend(self.finished(now, at, result, outlet));
                        }
                    }
                }
                self.write(at, outlet);
            }
            if is_still {
                return verdicts;
            }
        }
        self.dirty = true;
        verdicts
    }

    fn next_event(&mut self, at: usize) -> Option<ClientEvent> {
        self.lines.get_mut(at)?.client.poll_event()
    }

    fn connect(&mut self, at: usize, connections: &mut Connections, outlet: &mut dyn Outlet) {
        self.close(at, connections, outlet);
        let (host, port) = (&self.target.host, self.target.port);
        let conn = outlet.connect(host, port, self.target.security);
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        line.conn = conn;
        match conn {
            Some(conn) => connections.insert(conn, User::Hook(at)),
            None => line
                .client
                .handle_disconnected("the table of connections is full"),
        }
    }

    fn close(&mut self, at: usize, connections: &mut Connections, outlet: &mut dyn Outlet) {
        let line = self.lines.get_mut(at);
        if let Some(conn) = line.and_then(|line| line.conn.take()) {
            connections.remove(conn);
            outlet.close(conn);
        }
    }

    fn write(&mut self, at: usize, outlet: &mut dyn Outlet) {
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let Some(conn) = line.conn else {
            return;
        };
        loop {
            let bytes = line.client.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            let taken = outlet.write(conn, bytes);
            if taken == 0 {
                return;
            }
            line.client.transmitted(taken);
        }
    }

    /// What was asked or told has had its answer, or has none.
    fn finished(
        &mut self,
        now: Instant,
        at: usize,
        result: Result<u16, Failure>,
        outlet: &mut dyn Outlet,
    ) -> Option<Verdict> {
        let task = self.lines.get_mut(at)?.task.take()?;
        let url = &self.config.url;
        match &result {
            Ok(_) => {
                let waiting = self.queue.len();
                if let Some(away) = self.health.answered(now) {
                    let seconds = away.as_secs();
                    let line = format_args!(
                        "hooks {url}: answers again after {seconds} s, {waiting} events wait"
                    );
                    outlet.note(Level::Info, line);
                }
            }
            Err(failure) => {
                self.counters.failed += 1;
                if self.health.failed(now) {
                    let line = format_args!("hooks {url}: {failure}");
                    outlet.note(Level::Warn, line);
                }
                let expired = self.queue.expire(now, self.config.retry);
                self.note_dropped(now, expired, outlet);
            }
        }
        match task {
            Task::Question(id) => {
                let place = self.asked.iter().position(|asked| asked.id == id)?;
                let asked = self.asked.remove(place);
                let word = match result {
                    Ok(status) => Word::of(status),
                    Err(failure) => Word::Nothing(failure.to_string()),
                };
                match &word {
                    Word::Take => self.counters.delivered += 1,
                    Word::Refuse(_) => self.counters.refused += 1,
                    Word::Nothing(_) => {}
                }
                Some(Verdict::Word(asked, word))
            }
            Task::Event(id, lane, method) => self.told(now, (id, lane, method), result, outlet),
        }
    }

    /// The same for an event of the queue.
    fn told(
        &mut self,
        now: Instant,
        (id, lane, method): (u64, Lane, Method),
        result: Result<u16, Failure>,
        outlet: &mut dyn Outlet,
    ) -> Option<Verdict> {
        let url = &self.config.url;
        match result {
            Ok(200..300) => {
                self.counters.delivered += 1;
                self.queue.delivered(id);
                None
            }
            Ok(status) if !matches!(status, 408 | 429 | 500..) => {
                self.counters.refused += 1;
                self.queue.delivered(id);
                if self.health.may_note(now) {
                    let line = format_args!("hooks {url}: {method} was answered with {status}");
                    outlet.note(Level::Warn, line);
                }
                match (lane, Word::of(status)) {
                    (Lane::Call(number), Word::Refuse(status))
                        if matches!(method, Method::OnCallEvent | Method::Call) =>
                    {
                        Some(Verdict::End(number, status))
                    }
                    _ => None,
                }
            }
            result => {
                if let Ok(status) = result {
                    self.counters.failed += 1;
                    if self.health.may_note(now) {
                        let line = format_args!("hooks {url}: {method} was answered with {status}");
                        outlet.note(Level::Warn, line);
                    }
                }
                let kept = self.queue.failed(now, id, self.config.retry);
                self.note_dropped(now, u64::from(!kept), outlet);
                None
            }
        }
    }

    fn note_dropped(&mut self, now: Instant, dropped: u64, outlet: &mut dyn Outlet) {
        if dropped > 0 && self.health.may_note_drop(now) {
            let seconds = self.config.retry.as_secs();
            let (url, all) = (&self.config.url, self.queue.counters.expired);
            let line = format_args!(
                "hooks {url}: events are dropped that it did not take for {seconds} s, {all} so far"
            );
            outlet.note(Level::Warn, line);
        }
    }

    /// Takes another configuration over; what is under way goes out again.
    fn reconfigure(
        &mut self,
        config: config::Hooks,
        connections: &mut Connections,
        outlet: &mut dyn Outlet,
    ) {
        self.hang_up(connections, outlet);
        self.target = Target::of(&config);
        self.lines = lines(&config);
        self.health = Health::default();
        self.config = config;
        self.dirty = true;
    }

    /// Closes every connection; what was under way over it waits again.
    fn hang_up(&mut self, connections: &mut Connections, outlet: &mut dyn Outlet) {
        for at in 0..self.lines.len() {
            let Some(line) = self.lines.get_mut(at) else {
                continue;
            };
            line.client.abandon();
            let task = line.task.take();
            while line.client.poll_event().is_some() {}
            match task {
                Some(Task::Event(id, ..)) => self.queue.unsent(id),
                Some(Task::Question(id)) => {
                    let mut asked = self.asked.iter_mut();
                    if let Some(asked) = asked.find(|asked| asked.id == id) {
                        asked.is_sent = false;
                    }
                }
                None => {}
            }
            self.close(at, connections, outlet);
        }
    }
}

fn lines(config: &config::Hooks) -> Vec<Line> {
    let count = config.connections.clamp(1, HOOK_CONNECTIONS_MAX);
    (0..count).map(|_| Line::default()).collect()
}
