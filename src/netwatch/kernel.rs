//! The netlink socket and the task that reads it.
//!
//! Must not know: what messages mean, who receives the result.

use super::{
    machine::{Machine, Tables},
    message::{self, Message},
    NetworkChange, Status, WATCHER,
};
use crate::{
    log::{oh_log, Level},
    runtime,
};
use nix::sys::socket::{bind, socket, AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType};
use std::{
    io,
    os::fd::AsRawFd,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    net::UnixDatagram,
    sync::watch,
    time::{sleep_until, Instant},
};

/// Links, IPv4 and IPv6 addresses and routes (`RTMGRP_*`).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// The kernel sends no larger datagrams to a reader with a buffer of this size.
const BUFFER: usize = 32 << 10;
/// Delay before the state is requested again, after lost messages or an interrupted dump.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts the task, if possible.
pub(super) fn start(status: Arc<watch::Sender<Status>>) {
    let task = async move {
        let Ok(mut stop) = runtime::global().stop_signal() else { return };
        let watched = async {
            let error = match Kernel::open() {
                Ok(kernel) => kernel.watch(&status).await,
                Err(error) => error,
            };
            oh_log!(Level::Debug, "network changes cannot be watched on this system: {}", error.kind());
            std::future::pending::<()>().await
        };
        tokio::select! {
            biased;
            () = stop.requested() => {}
            () = unwanted(&status) => {}
            () = watched => {}
        }
    };
    // A failure inside is logged; the next subscription starts the task again.
    let _ = runtime::spawn_guarded("netwatch", task, |_| {});
}

/// Whether the socket can be opened.
pub(super) fn check() -> io::Result<()> {
    Kernel::open().map(drop)
}

/// Returns once there is no subscription; then none can be added.
async fn unwanted(status: &Arc<watch::Sender<Status>>) {
    loop {
        status.closed().await;
        let mut watcher = WATCHER.lock();
        // A subscription may have been added in between.
        if status.receiver_count() == 0 {
            *watcher = Weak::new();
            return;
        }
    }
}

/// A netlink socket. For the runtime it is a datagram socket, and this type can be made from a descriptor.
struct Kernel(UnixDatagram);

impl Kernel {
    fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        Ok(Self(UnixDatagram::from_std(fd.into())?))
    }

    async fn ask(&self, kind: u16) -> io::Result<()> {
        self.0.send(&message::request(kind, u32::from(kind))).await.map(drop)
    }

    /// The next messages; `Lost` when the kernel had to drop some. Cancel safe.
    async fn read(&self, buffer: &mut [u8]) -> io::Result<Vec<Message>> {
        match self.0.recv(buffer).await {
            Ok(length) => Ok(message::read(&buffer[..length])),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(vec![Message::Lost]),
            Err(error) => Err(error),
        }
    }

    /// Watches until the socket fails.
    async fn watch(&self, status: &watch::Sender<Status>) -> io::Error {
        let epoch = Instant::now();
        let mut buffer = vec![0; BUFFER];
        let mut reader = Reader { machine: None, fresh: None, asking: message::GET_LINK, again: Some(epoch) };
        loop {
            let settles = reader.machine.as_ref().and_then(Machine::deadline).map(|d| epoch + d);
            let mut ask = None;
            tokio::select! {
                result = self.read(&mut buffer) => match result {
                    Ok(messages) => {
                        for message in messages {
                            ask = reader.take(epoch.elapsed(), &message, status).or(ask);
                        }
                    }
                    Err(error) => return error,
                },
                () = sleep_until(reader.again.unwrap_or(epoch)), if reader.again.is_some() => {
                    ask = Some(reader.begin());
                }
                () = sleep_until(settles.unwrap_or(epoch)), if settles.is_some() => {}
            }
            if let Some(kind) = ask {
                if let Err(error) = self.ask(kind).await {
                    return error;
                }
            }
            if let Some(machine) = &mut reader.machine {
                if let Some(change) = machine.tick(epoch.elapsed()) {
                    report(status, change, machine.is_online());
                }
            }
        }
    }
}

/// Requests the full state (links, then addresses) at the start and whenever messages were lost, and keeps it up to
/// date in between.
struct Reader {
    /// `None` before the first complete dump.
    machine: Option<Machine>,
    /// State of the dump in progress.
    fresh: Option<Tables>,
    asking: u16,
    /// When to request a new dump.
    again: Option<Instant>,
}

impl Reader {
    /// Begins a new dump; returns the request to send.
    fn begin(&mut self) -> u16 {
        self.again = None;
        self.fresh = Some(Tables::default());
        self.asking = message::GET_LINK;
        self.asking
    }

    /// Handles one message; may return the next request.
    fn take(&mut self, now: Duration, message: &Message, status: &watch::Sender<Status>) -> Option<u16> {
        match message {
            Message::Lost | Message::Done { interrupted: true } => {
                // The dump in progress has gaps.
                self.fresh = None;
                self.again = Some(Instant::now() + AGAIN);
                None
            }
            Message::Done { interrupted: false } => {
                let tables = self.fresh.take()?;
                if self.asking == message::GET_LINK {
                    self.fresh = Some(tables);
                    self.asking = message::GET_ADDRESS;
                    return Some(self.asking);
                }
                match &mut self.machine {
                    Some(machine) => machine.replace(now, tables),
                    None => {
                        let machine = Machine::new(tables);
                        status.send_modify(|status| status.online = machine.is_online());
                        self.machine = Some(machine);
                    }
                }
                None
            }
            change => {
                if let Some(fresh) = &mut self.fresh {
                    fresh.apply(change);
                }
                if let Some(machine) = &mut self.machine {
                    machine.apply(now, change);
                }
                None
            }
        }
    }
}

fn report(status: &watch::Sender<Status>, change: NetworkChange, online: bool) {
    oh_log!(Level::Info, "network change: {change:?}");
    status.send_modify(|status| *status = Status { online, changes: status.changes + 1 });
}
