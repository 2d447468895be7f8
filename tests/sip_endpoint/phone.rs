//! A calling phone with the client transactions of RFC 3261 section 17.1, for tests of loss.

use std::time::Duration;

use trunkcast::base::time::Instant;
use trunkcast::wire::sip_message::SipMessage;

use crate::bench::{Caller, Sent, respond};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// What the phone does with its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Hangs up after a second.
    HangUp,
    /// Waits for the other side to hang up.
    Wait,
    /// Cancels once it has heard anything.
    Cancel,
    /// Changes the call after a second, and hangs up a second later.
    Reinvite,
}

/// A request that is sent until it is answered.
#[derive(Clone, Debug)]
struct Client {
    method: &'static str,
    branch: String,
    bytes: String,
    /// None once a provisional answer has stopped it.
    next: Option<Instant>,
    interval: Duration,
    until: Instant,
    answered: Option<u16>,
}

pub struct Phone {
    pub plan: Plan,
    pub caller: Caller,
    clients: Vec<Client>,
    /// ACK of the last 200, sent again with every repetition of it.
    ack: Option<(u32, String)>,
    act_at: Option<Instant>,
    reinvited: bool,
    pub out: Vec<String>,
    /// Final answer to the first INVITE.
    pub answer: Option<u16>,
    pub over: bool,
}

impl Phone {
    pub fn new(plan: Plan, now: Instant) -> Self {
        let mut phone = Self {
            plan,
            caller: Caller::new("lossy"),
            clients: Vec::new(),
            ack: None,
            act_at: None,
            reinvited: false,
            out: Vec::new(),
            answer: None,
            over: false,
        };
        let invite = phone.caller.invite();
        phone.start(now, "INVITE", invite);
        phone
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let waiting = self.clients.iter().filter(|c| c.answered.is_none());
        let due = waiting.map(|c| c.next.map_or(c.until, |at| at.min(c.until)));
        due.chain(self.act_at).min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        for client in &mut self.clients {
            if client.answered.is_some() {
                continue;
            }
            if client.until <= now {
                client.answered = Some(408);
                if client.method == "INVITE" && self.answer.is_none() {
                    self.answer = Some(408);
                    self.over = true;
                }
                self.over |= client.method == "BYE";
            } else if let Some(at) = client.next.filter(|at| *at <= now) {
                let cap = if client.method == "INVITE" {
                    T1 * 64
                } else {
                    T2
                };
                client.interval = (client.interval * 2).min(cap);
                client.next = Some(at + client.interval);
                self.out.push(client.bytes.clone());
            }
        }
        if self.act_at.is_some_and(|at| at <= now) {
            self.act_at = None;
            self.act(now);
        }
    }

    pub fn receive(&mut self, now: Instant, sent: &Sent) {
        let message = sent.message();
        match message.status() {
            Some(code) => self.receive_response(now, sent, code, &message),
            None => {
                self.over |= sent.what() == "BYE";
                self.out.push(respond(sent, 200));
            }
        }
    }

    /// Whether nothing of it waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.clients.iter().all(|c| c.answered.is_some()) && self.act_at.is_none()
    }

    fn receive_response(&mut self, now: Instant, sent: &Sent, code: u16, message: &SipMessage<'_>) {
        let branch = message.via().branch.unwrap();
        let method = message.cseq().method.to_string();
        let matches = |c: &&mut Client| c.branch == branch && c.method == method;
        let Some(client) = self.clients.iter_mut().find(matches) else {
            panic!("a response to nothing: {}", sent.text());
        };
        let first = client.answered.is_none();
        let branch = client.branch.clone();
        if code < 200 {
            client.next = client.next.filter(|_| method != "INVITE");
            let invite_is_first = method == "INVITE" && self.answer.is_none();
            if invite_is_first && self.plan == Plan::Cancel && self.clients.len() == 1 {
                let cancel = self.caller.cancel();
                self.start_with(now, "CANCEL", branch, cancel);
            }
            return;
        }
        if first {
            client.answered = Some(code);
        }
        match &*method {
            "INVITE" if code < 300 => self.accepted(now, sent, first, message),
            "INVITE" => {
                let ack = self
                    .caller
                    .ack_refusal(sent)
                    .replace(&self.caller.branch(), &branch);
                self.out.push(ack);
                if first && self.answer.is_none() {
                    self.answer = Some(code);
                    self.over = true;
                } else if first {
                    self.act_at = Some(now + Duration::from_secs(1));
                }
            }
            "BYE" => self.over = true,
            _ => {}
        }
    }

    fn accepted(&mut self, now: Instant, sent: &Sent, first: bool, message: &SipMessage<'_>) {
        let number = message.cseq().number;
        match &self.ack {
            Some((acked, ack)) if *acked == number => self.out.push(ack.clone()),
            _ if first => {
                self.caller.to_tag = sent.to_tag();
                let ack = self.caller.ack();
                self.out.push(ack.clone());
                self.ack = Some((number, ack));
                self.answer = Some(self.answer.unwrap_or(200));
                // A caller that cancelled too late hangs up instead.
                let acts = self.plan != Plan::Wait;
                self.act_at = acts.then(|| now + Duration::from_secs(1));
            }
            _ => {}
        }
    }

    fn act(&mut self, now: Instant) {
        if self.over {
            return;
        }
        if self.plan == Plan::Reinvite && !self.reinvited {
            self.reinvited = true;
            let invite = self.caller.reinvite();
            self.start(now, "INVITE", invite);
        } else {
            let bye = self.caller.request("BYE");
            self.start(now, "BYE", bye);
        }
    }

    fn start(&mut self, now: Instant, method: &'static str, bytes: String) {
        let branch = self.caller.branch();
        self.start_with(now, method, branch, bytes);
    }

    fn start_with(&mut self, now: Instant, method: &'static str, branch: String, bytes: String) {
        self.out.push(bytes.clone());
        self.clients.push(Client {
            method,
            branch,
            bytes,
            next: Some(now + T1),
            interval: T1,
            // An INVITE may ring long; timer B ends with its first provisional answer.
            until: now + T1 * 64,
            answered: None,
        });
    }
}
