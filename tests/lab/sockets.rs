//! Sockets between sessions and edges: ordered by nature, and subject to every kind of fault.
//!
//! A socket keeps order unless a fault of its own breaks it. Such a fault marks the socket as tainted: the session's
//! view of the room is then checked again only after the next JoinResponse.

use super::{
    faults::Class,
    world::{Ev, Ms, World},
};
use offhook::core::{model::*, Input};

/// A close that is not answered completes after this time.
const CLOSE_WITHIN: Ms = 1_000;
/// An edge notices a dead socket after this time.
const EDGE_NOTICES: Ms = 15_000;

#[derive(Clone, Debug)]
pub enum Up {
    Request(SfuRequest),
    /// A request as bytes.
    Frame(Vec<u8>),
    /// A close frame, or the end of the connection.
    Close(Option<u16>),
}

#[derive(Clone, Debug)]
pub enum Down {
    Message(SfuMessage),
    /// A message as bytes.
    Frame(Vec<u8>),
    Malformed,
    Close(Option<u16>),
}

#[derive(Debug)]
pub struct Sock {
    pub client: usize,
    pub generation: Generation,
    pub edge: usize,
    /// The client still reads.
    pub client_end: bool,
    /// The edge still reads.
    pub edge_end: bool,
    /// The client has sent its close.
    closing: bool,
    /// Nothing gets through, and no side is notified.
    pub silent: bool,
    last_up: Ms,
    last_down: Ms,
    /// The edge has sent JoinResponse.
    pub joined: bool,
    /// Resumed, but the client has not sent its known state yet.
    pub sync_due: bool,
}

impl World {
    /// The newest socket of a session that its client still reads.
    pub fn live_sock(&self, client: usize) -> Option<usize> {
        (0..self.socks.len()).rev().find(|s| self.socks[*s].client == client && self.socks[*s].client_end)
    }

    /// The connection attempt reaches its edge.
    pub fn opened(&mut self, client: usize, generation: Generation, edge: usize) {
        let refused = !self.sfu.edges[edge].alive;
        let unwanted = self.setup.livekit && !self.link_is_current(client, generation);
        let barred = self.setup.livekit && !self.token_accepted(client, generation);
        let result = if refused {
            Err(Failure::new(FailureKind::Connect, "connection refused"))
        } else if unwanted {
            Err(Failure::new(FailureKind::Connect, "replaced by a newer attempt"))
        } else if barred {
            Err(Failure::new(FailureKind::Http { status: 401 }, "the token is not accepted"))
        } else {
            let sock = self.socks.len();
            self.socks.push(Sock {
                client,
                generation,
                edge,
                client_end: true,
                edge_end: true,
                closing: false,
                silent: false,
                last_up: self.now,
                last_down: self.now,
                joined: false,
                sync_due: false,
            });
            self.clients[client].socks.push((generation, sock));
            Ok(())
        };
        let opened = (result.is_ok() && self.setup.livekit).then(|| self.socks.len() - 1);
        if let Some(sock) = opened {
            self.link_begins(client, generation);
            self.livekit_connects(sock);
        }
        self.input(client, Input::SocketOpened { generation, result });
    }

    pub fn sock_of(&self, client: usize, generation: Generation) -> Option<usize> {
        self.clients[client].socks.iter().rev().find(|(g, _)| *g == generation).map(|(_, s)| *s)
    }

    /// The client sends a request.
    pub fn queue_request_up(&mut self, client: usize, generation: Generation, request: SfuRequest) {
        let Some(sock) = self.sock_of(client, generation) else { return };
        self.queue_up(sock, Up::Request(request));
    }

    /// False: it is closed.
    pub fn queue_up(&mut self, sock: usize, what: Up) -> bool {
        let client = self.socks[sock].client;
        if self.socks[sock].closing || !self.socks[sock].client_end {
            return false;
        }
        let now = self.now;
        let this = &mut self.clients[client];
        if this.hit(now, Class::Up) {
            let kind = this.fault.between(0, 2);
            this.up_in_doubt |= kind != 1;
            match kind {
                0 => return true,
                1 => self.socks[sock].last_up += this.fault.between(1, 3_000),
                _ => {
                    let wait = this.latency();
                    self.after(wait, Ev::Up { sock, what: what.clone() });
                }
            }
        }
        self.send_up(sock, what);
        true
    }

    /// Everything sent from now on takes this much longer.
    pub fn slow_up(&mut self, sock: usize, wait: Ms) {
        self.socks[sock].last_up = self.socks[sock].last_up.max(self.now) + wait;
    }

    fn send_up(&mut self, sock: usize, what: Up) {
        let wait = self.clients[self.socks[sock].client].latency();
        let s = &mut self.socks[sock];
        s.last_up = s.last_up.max(self.now + wait);
        let at = s.last_up;
        self.at(at, Ev::Up { sock, what });
    }

    pub fn close_up(&mut self, client: usize, generation: Generation, code: u16) {
        let Some(sock) = self.sock_of(client, generation) else { return };
        if !self.socks[sock].closing && self.socks[sock].client_end {
            self.socks[sock].closing = true;
            self.send_up(sock, Up::Close(Some(code)));
            self.after(CLOSE_WITHIN, Ev::Down { sock, what: Down::Close(None) });
        }
    }

    /// The client drops the socket, and closes it first if it is open.
    pub fn drop_sock(&mut self, client: usize, generation: Generation) {
        let Some(sock) = self.sock_of(client, generation) else { return };
        self.close_up(client, generation, 1000);
        self.socks[sock].client_end = false;
    }

    pub fn up(&mut self, sock: usize, what: Up) {
        let s = &self.socks[sock];
        if !s.edge_end || s.silent || !self.sfu.edges[s.edge].alive {
            return;
        }
        match what {
            Up::Request(request) => self.sfu_receives(sock, request),
            Up::Frame(frame) => self.server_receives(sock, &frame),
            Up::Close(code) => {
                self.socks[sock].edge_end = false;
                // Where leaving is a message of its own, a close does not mean a leave.
                let left = if self.setup.livekit { None } else { code };
                self.sfu_loses(sock, left);
                self.send_down(sock, Down::Close(code));
            }
        }
    }

    /// An edge sends a message to one socket.
    pub fn send_message(&mut self, sock: usize, message: SfuMessage) {
        if self.setup.livekit {
            return self.send_livekit(sock, message);
        }
        let grants = matches!(message, SfuMessage::Grants(_));
        self.queue_down(sock, Down::Message(message), grants);
    }

    /// `grants`: if the message is lost, it is in doubt what may be published.
    pub fn queue_down(&mut self, sock: usize, what: Down, grants: bool) {
        if !self.socks[sock].edge_end {
            return;
        }
        let now = self.now;
        let client = self.socks[sock].client;
        let this = &mut self.clients[client];
        if this.hit(now, Class::Down) {
            let kind = this.fault.between(0, 3);
            let wait = this.fault.between(1, 3_000);
            if kind > 0 {
                // Lost, duplicated or overtaken: no socket does this, and the content may never arrive.
                this.check.view.tainted = true;
                this.app.publish_in_doubt |= grants;
            }
            match kind {
                0 => self.socks[sock].last_down += wait,
                1 => return,
                2 => {
                    self.after(wait, Ev::Down { sock, what: what.clone() });
                }
                _ => return self.after(wait, Ev::Down { sock, what }),
            }
        }
        if self.clients[client].hit(now, Class::Garbage) {
            self.send_down(sock, Down::Malformed);
        }
        self.send_down(sock, what);
    }

    pub fn send_down(&mut self, sock: usize, what: Down) {
        let wait = self.clients[self.socks[sock].client].latency();
        let s = &mut self.socks[sock];
        s.last_down = s.last_down.max(self.now + wait);
        let at = s.last_down;
        self.at(at, Ev::Down { sock, what });
    }

    /// The edge closes the connection.
    pub fn close_down(&mut self, sock: usize, code: Option<u16>) {
        if std::mem::take(&mut self.socks[sock].edge_end) {
            self.send_down(sock, Down::Close(code));
        }
    }

    pub fn down(&mut self, sock: usize, what: Down) {
        let s = &self.socks[sock];
        let (client, generation) = (s.client, s.generation);
        let is_close_timeout = matches!(what, Down::Close(None)) && s.closing;
        if !s.client_end || (s.silent && !is_close_timeout) {
            return;
        }
        let input = match what {
            Down::Frame(frame) => return self.client_receives(sock, &frame),
            Down::Message(message) => Input::Message { generation, message },
            Down::Malformed => Input::Malformed { generation },
            Down::Close(code) => {
                self.socks[sock].client_end = false;
                let failure = code.is_none().then(|| Failure::new(FailureKind::Connect, "connection reset"));
                Input::SocketClosed { generation, code, failure }
            }
        };
        self.input(client, input);
    }

    /// Cuts the connection: with a code, without one, or unnoticed.
    pub fn cut(&mut self, sock: usize, how: Cut) {
        let edge_was = self.socks[sock].edge_end;
        match how {
            Cut::Code(code) => {
                self.close_down(sock, Some(code));
            }
            Cut::Reset => {
                self.close_down(sock, None);
            }
            Cut::Silent => {
                self.socks[sock].silent = true;
                return self.after(EDGE_NOTICES, Ev::Sfu(super::sfu::SfuTimer::Notice { sock }));
            }
        }
        if edge_was {
            self.sfu_loses(sock, None);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Cut {
    Code(u16),
    Reset,
    Silent,
}
