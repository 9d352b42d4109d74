//! What stands behind each kind of handle, and how one is found and given up.

use super::handles::{registry, Kind, Object};
use crate::error::{Code, Error, Result};
use crate::session::{Call, Connection, Outgoing};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc, OnceLock, Weak,
    },
};

pub(super) struct Client {
    pub connection: Connection,
    pub user_id: String,
    pub token: crate::error::Secret,
    pub calls: Mutex<HashSet<u64>>,
    pub freed: AtomicBool,
}

pub(super) struct CallObject {
    /// Set before the call starts, so before any callback.
    pub call: OnceLock<Arc<Call>>,
    pub client: Weak<Client>,
    /// Ids of the publisher, the subscriber and the tracks of this call.
    pub parts: Mutex<Vec<u64>>,
    pub publisher: OnceLock<u64>,
    pub subscriber: OnceLock<u64>,
    pub freed: AtomicBool,
}

impl CallObject {
    pub fn call(&self) -> Result<&Arc<Call>> {
        if self.freed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Handle, "the oh_call handle is stale: the call was freed"));
        }
        self.call.get().ok_or_else(|| Error::new(Code::State, "the call has not started"))
    }
}

pub(super) struct PublisherObject {
    pub call: Weak<CallObject>,
}

pub(super) struct SubscriberObject {
    pub call: Weak<CallObject>,
}

pub(super) struct TrackObject {
    pub call: Weak<CallObject>,
    pub track: Arc<Outgoing>,
}

impl Object for Client {
    const KIND: Kind = Kind::Client;
}
impl Object for CallObject {
    const KIND: Kind = Kind::Call;
}
impl Object for PublisherObject {
    const KIND: Kind = Kind::Publisher;
}
impl Object for SubscriberObject {
    const KIND: Kind = Kind::Subscriber;
}
impl Object for TrackObject {
    const KIND: Kind = Kind::Track;
}

/// The object behind a handle.
pub(super) fn find<T: Object>(id: u64) -> Result<Arc<T>> {
    registry().get::<T>(id)
}

/// The call that a part belongs to.
pub(super) fn owner(call: &Weak<CallObject>) -> Result<Arc<CallObject>> {
    let owner = call.upgrade().ok_or_else(|| Error::new(Code::Handle, "the handle is stale: its call was freed"))?;
    owner.call()?;
    Ok(owner)
}
