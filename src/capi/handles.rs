//! The registry behind the handles of the C API: 64-bit ids that can be stale, forged or of the
//! wrong kind, and never point anywhere they should not.
//!
//! Must not know: what the objects are. No unsafe code here.
//!
//! An id is, from the top: kind (4 bits, never 0), generation (32 bits, from 1), index (28 bits).
//! Every use of a slot has a generation of its own; a slot whose generations are used up is
//! retired, so no id ever comes back.

use crate::error::{Code, Error, Result};
use crate::sync::RwLock;
use std::{
    any::Any,
    sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        Arc,
    },
};

/// The nouns of the API. The numbers are inside ids that applications hold: never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    Client = 1,
    Call = 2,
    Publisher = 3,
    Subscriber = 4,
    Track = 5,
}

impl Kind {
    fn of(id: u64) -> Option<Self> {
        [Kind::Client, Kind::Call, Kind::Publisher, Kind::Subscriber, Kind::Track]
            .into_iter()
            .find(|kind| *kind as u64 == id >> KIND_SHIFT)
    }

    /// The noun in texts for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Client => "client",
            Kind::Call => "call",
            Kind::Publisher => "publisher",
            Kind::Subscriber => "subscriber",
            Kind::Track => "track",
        }
    }
}

/// What can stand behind a handle.
pub trait Object: Any + Send + Sync {
    /// One kind per type.
    const KIND: Kind;
}

const INDEX_BITS: u32 = 28;
const KIND_SHIFT: u32 = 60;
const SHARDS: usize = 16;
const SHARD_BITS: u32 = 4;

fn id_of(kind: Kind, generation: u32, index: u32) -> u64 {
    (kind as u64) << KIND_SHIFT | u64::from(generation) << INDEX_BITS | u64::from(index)
}

fn generation_of(id: u64) -> u32 {
    (id >> INDEX_BITS) as u32
}

fn index_of(id: u64) -> u32 {
    id as u32 & ((1 << INDEX_BITS) - 1)
}

struct Slot {
    /// Kind and generation as in an id; those of the present object, or of the last one.
    tag: u64,
    object: Option<Arc<dyn Any + Send + Sync>>,
}

struct Shard {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// Maps ids to objects. Any thread; a look-up takes one uncontended read lock.
pub struct Registry {
    shards: [RwLock<Shard>; SHARDS],
    next_shard: AtomicUsize,
    first_generation: u32,
    slots_per_shard: u32,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

/// The registry of the process.
pub fn registry() -> &'static Registry {
    static GLOBAL: Registry = Registry::new();
    &GLOBAL
}

impl Registry {
    pub const fn new() -> Self {
        Self::with(1, 1 << (INDEX_BITS - SHARD_BITS))
    }

    const fn with(first_generation: u32, slots_per_shard: u32) -> Self {
        Self {
            shards: [const { RwLock::new(Shard { slots: Vec::new(), free: Vec::new() }) }; SHARDS],
            next_shard: AtomicUsize::new(0),
            first_generation,
            slots_per_shard,
        }
    }

    /// Registers an object and gives its id, never 0. Errors: `Limit` when all slots are in use.
    pub fn insert<T: Object>(&self, object: Arc<T>) -> Result<u64> {
        let start = self.next_shard.fetch_add(1, Relaxed);
        for n in 0..SHARDS {
            let shard_number = start.wrapping_add(n) % SHARDS;
            let mut shard = self.shards[shard_number].write();
            let (at, generation) = match shard.free.pop() {
                Some(at) => (at, generation_of(shard.slots[at as usize].tag) + 1),
                None if shard.slots.len() < self.slots_per_shard as usize => {
                    shard.slots.push(Slot { tag: 0, object: None });
                    (shard.slots.len() as u32 - 1, self.first_generation)
                }
                None => continue,
            };
            let index = at << SHARD_BITS | shard_number as u32;
            let id = id_of(T::KIND, generation, index);
            shard.slots[at as usize] = Slot { tag: id, object: Some(object) };
            return Ok(id);
        }
        Err(Error::new(Code::Limit, "no handle is free; free objects that are no longer used"))
    }

    /// The object behind an id. Errors: `Handle`, with a text that says what is wrong with it.
    #[inline]
    pub fn get<T: Object>(&self, id: u64) -> Result<Arc<T>> {
        if id >> KIND_SHIFT == T::KIND as u64 {
            let index = index_of(id);
            let shard = self.shards[index as usize % SHARDS].read();
            if let Some(Slot { tag, object: Some(object) }) = shard.slots.get((index >> SHARD_BITS) as usize) {
                if *tag == id {
                    // Counted up only for the right type; another cannot be here under this kind.
                    if let Ok(object) = object.clone().downcast::<T>() {
                        return Ok(object);
                    }
                }
            }
        }
        Err(bad_handle(T::KIND, id))
    }

    /// Takes an object out; its id is stale from now on. Of several callers one gets it. Errors: as
    /// [`get`](Self::get).
    pub fn remove<T: Object>(&self, id: u64) -> Result<Arc<T>> {
        if id >> KIND_SHIFT != T::KIND as u64 {
            return Err(bad_handle(T::KIND, id));
        }
        self.take(id).and_then(|object| object.downcast().ok()).ok_or_else(|| bad_handle(T::KIND, id))
    }

    /// Gives up an id of any kind; nothing when it is stale.
    pub fn forget(&self, id: u64) {
        drop(self.take(id));
    }

    /// Empties the slot of an id; the object is dropped by the caller, with no lock held.
    fn take(&self, id: u64) -> Option<Arc<dyn Any + Send + Sync>> {
        let index = index_of(id);
        let at = index >> SHARD_BITS;
        let mut shard = self.shards[index as usize % SHARDS].write();
        let taken = match shard.slots.get_mut(at as usize) {
            Some(slot) if slot.tag == id => slot.object.take(),
            _ => None,
        };
        if taken.is_some() && generation_of(id) < u32::MAX {
            shard.free.push(at);
        }
        taken
    }

    /// All objects of a type with their ids, as they were at some moment. For freeing what is left.
    pub fn all<T: Object>(&self) -> Vec<(u64, Arc<T>)> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for slot in &shard.read().slots {
                if let (true, Some(object)) = (slot.tag >> KIND_SHIFT == T::KIND as u64, &slot.object) {
                    all.extend(object.clone().downcast::<T>().ok().map(|object| (slot.tag, object)));
                }
            }
        }
        all
    }

    /// Objects registered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().slots.iter().filter(|slot| slot.object.is_some()).count()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cold]
fn bad_handle(wanted: Kind, id: u64) -> Error {
    let text: &'static str = match (wanted, Kind::of(id)) {
        _ if id == 0 => match wanted {
            Kind::Client => "the client handle is none (0); make one with oh_client_new",
            Kind::Call => "the call handle is none (0); make one with oh_call_join",
            Kind::Publisher => "the publisher handle is none (0); get it from the call",
            Kind::Subscriber => "the subscriber handle is none (0); get it from the call",
            Kind::Track => "the track handle is none (0); make one by publishing",
        },
        (_, None) => "this is not a handle of this library",
        (_, Some(kind)) if kind != wanted => {
            let text = format!("a {} handle was given where a {} handle belongs", kind.name(), wanted.name());
            return Error::new(Code::Handle, text);
        }
        (Kind::Client, _) => "the client handle is stale: the client was freed",
        (Kind::Call, _) => "the call handle is stale: the call was freed",
        (Kind::Publisher, _) => "the publisher handle is stale: the publisher or its call was freed",
        (Kind::Subscriber, _) => "the subscriber handle is stale: the subscriber or its call was freed",
        (Kind::Track, _) => "the track handle is stale: the track or its call was freed",
    };
    Error::new(Code::Handle, text)
}

#[cfg(test)]
#[path = "handles_tests.rs"]
mod tests;
