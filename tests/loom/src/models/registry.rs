//! The handle registry: an id leads to its object until it is freed, to nothing afterwards, and never
//! to another object.

use crate::handles::{Kind, Object, Registry};
use loom::thread;
use std::sync::{
    atomic::{AtomicUsize, Ordering::SeqCst},
    Arc,
};

struct Call(u32);
impl Object for Call {
    const KIND: Kind = Kind::Call;
}

struct Track(u32);
impl Object for Track {
    const KIND: Kind = Kind::Track;
}

pub fn two_free_one_looks() {
    let registry = Arc::new(Registry::new());
    let id = registry.insert(Arc::new(Call(7))).unwrap();
    let got = Arc::new(AtomicUsize::new(0));
    let free = || {
        let (registry, got) = (registry.clone(), got.clone());
        thread::spawn(move || {
            if let Ok(call) = registry.remove::<Call>(id) {
                assert_eq!(call.0, 7);
                got.fetch_add(1, SeqCst);
            }
            assert!(registry.get::<Call>(id).is_err(), "a freed id still leads somewhere");
        })
    };
    let (one, two) = (free(), free());
    if let Ok(call) = registry.get::<Call>(id) {
        assert_eq!(call.0, 7);
    }
    assert!(registry.get::<Track>(id).is_err());
    one.join().unwrap();
    two.join().unwrap();
    assert_eq!(got.load(SeqCst), 1, "an object was freed by {} threads", got.load(SeqCst));
    assert!(registry.get::<Call>(id).is_err());
}

pub fn used_again() {
    let registry = Arc::new(Registry::new());
    // One in each shard, so that the next one meets the slot that becomes free.
    loom::stop_exploring();
    let old = registry.insert(Arc::new(Call(1))).unwrap();
    for _ in 1..16 {
        registry.insert(Arc::new(Call(0))).unwrap();
    }
    loom::explore();
    let theirs = registry.clone();
    let user = thread::spawn(move || {
        for _ in 0..2 {
            if let Ok(call) = theirs.get::<Call>(old) {
                assert_eq!(call.0, 1, "an old id leads to a new object");
            }
        }
        theirs.forget(old);
    });
    drop(registry.remove::<Call>(old));
    let new = registry.insert(Arc::new(Call(2))).unwrap();
    assert_ne!(new, old, "an id came back");
    let other = registry.insert(Arc::new(Track(3))).unwrap();
    assert_eq!(registry.get::<Call>(new).unwrap().0, 2, "a stale id frees another object");
    user.join().unwrap();
    assert_eq!(registry.get::<Call>(new).unwrap().0, 2, "a stale id frees another object");
    assert_eq!(registry.get::<Track>(other).unwrap().0, 3);
}

pub fn all_meanwhile() {
    let registry = Arc::new(Registry::new());
    let stays = registry.insert(Arc::new(Call(1))).unwrap();
    let goes = registry.insert(Arc::new(Call(2))).unwrap();
    let theirs = registry.clone();
    let other = thread::spawn(move || {
        theirs.remove::<Call>(goes).unwrap();
        theirs.insert(Arc::new(Call(3))).unwrap()
    });
    let all = registry.all::<Call>();
    assert!(all.iter().any(|(id, call)| *id == stays && call.0 == 1), "an object that stays is not listed");
    for (id, call) in &all {
        assert!(*id != goes || call.0 == 2, "an id is listed with another's object");
    }
    let came = other.join().unwrap();
    assert_eq!(registry.get::<Call>(came).unwrap().0, 3);
}
