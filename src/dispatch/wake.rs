//! A descriptor that is readable while a pulled mailbox has something to return.
//!
//! Must not know: mailboxes, items. A socket pair and not an eventfd, so that it works on every Unix; created only on
//! request.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

/// The descriptor of a pulled mailbox: readable while there is something to pull. Poll it; never read or close it. It
/// lives as long as the mailbox or a clone of this.
#[derive(Clone, Debug)]
pub struct WakeDescriptor(Arc<UnixStream>);

impl AsFd for WakeDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for WakeDescriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[derive(Debug)]
pub(super) struct Wake {
    reader: WakeDescriptor,
    writer: UnixStream,
    raised: bool,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader: WakeDescriptor(Arc::new(reader)), writer, raised: false })
    }

    pub(super) fn descriptor(&self) -> WakeDescriptor {
        self.reader.clone()
    }

    /// At most one byte is in the socket, so writing never blocks.
    pub(super) fn raise(&mut self) {
        if !self.raised {
            self.raised = matches!((&self.writer).write(&[1]), Ok(1));
        }
    }

    pub(super) fn lower(&mut self) {
        if self.raised {
            let mut byte = [0; 8];
            // If there is nothing to read, the host has read it, against the contract; that is ignored.
            let _ = (&*self.reader.0).read(&mut byte);
            self.raised = false;
        }
    }
}
