//! A descriptor that is readable while a pulled mailbox has something to say.
//!
//! Must not know: mailboxes, items. A socket pair and not an eventfd, so that it works on every
//! Unix; it exists only for those who ask for it.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
};

#[derive(Debug)]
pub(super) struct Wake {
    reader: UnixStream,
    writer: UnixStream,
    raised: bool,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer, raised: false })
    }

    /// Valid as long as this object; to be polled, never read.
    pub(super) fn descriptor(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// At most one byte lies in the socket, so writing never blocks.
    pub(super) fn raise(&mut self) {
        if !self.raised {
            self.raised = matches!((&self.writer).write(&[1]), Ok(1));
        }
    }

    pub(super) fn lower(&mut self) {
        if self.raised {
            let mut byte = [0; 8];
            // Nothing to read means that the host read it, against the contract: all the same.
            let _ = (&self.reader).read(&mut byte);
            self.raised = false;
        }
    }
}
