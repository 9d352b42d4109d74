//! Tests of the registry: ids that are stale, forged, of another kind, from many threads at once.

use super::*;
use proptest::prelude::*;
use std::{
    collections::HashSet,
    sync::{atomic::AtomicBool, Barrier},
    thread,
    time::{Duration, Instant},
};

#[derive(Debug)]
struct Call(u64);
impl Object for Call {
    const KIND: Kind = Kind::Call;
}

#[derive(Debug)]
struct Track(u64);
impl Object for Track {
    const KIND: Kind = Kind::Track;
}

/// A type that wrongly claims a kind that is another's.
#[derive(Debug)]
struct Impostor;
impl Object for Impostor {
    const KIND: Kind = Kind::Call;
}

fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code, Code::Handle);
    error.message.into_owned()
}

#[test]
fn the_text_says_what_is_wrong_with_a_handle() {
    let r = Registry::new();
    let call = r.insert(Arc::new(Call(1))).unwrap();
    assert_eq!(r.get::<Call>(call).unwrap().0, 1);
    assert!(text(r.get::<Call>(0)).contains("none"));
    assert!(text(r.get::<Track>(call)).contains("a call handle was given where a track handle belongs"));
    assert!(text(r.remove::<Track>(call)).contains("a call handle was given"));
    assert!(text(r.get::<Call>(7)).contains("not a handle"));
    assert!(text(r.get::<Call>(u64::MAX)).contains("not a handle"));
    assert_eq!(r.remove::<Call>(call).unwrap().0, 1);
    assert!(text(r.get::<Call>(call)).contains("stale"));
    assert!(text(r.remove::<Call>(call)).contains("stale"));
    assert!(text(r.remove::<Call>(0)).contains("none"));
}

#[test]
fn a_slot_that_is_used_again_leaves_old_ids_stale() {
    let r = Registry::with(1, 1);
    let mut seen = HashSet::new();
    for n in 0..1000 {
        let id = r.insert(Arc::new(Call(n))).unwrap();
        assert!(seen.insert(id));
        assert_eq!(r.remove::<Call>(id).unwrap().0, n);
    }
    let (call, track) = (r.insert(Arc::new(Call(0))).unwrap(), r.insert(Arc::new(Track(5))).unwrap());
    for old in seen {
        assert!(text(r.get::<Call>(old)).contains("stale"));
    }
    assert_eq!((r.get::<Call>(call).unwrap().0, r.get::<Track>(track).unwrap().0), (0, 5));
    // The same slot and generation, but under the kind of another noun.
    let forged = track & !(0xf << KIND_SHIFT) | (Kind::Call as u64) << KIND_SHIFT;
    assert!(text(r.get::<Call>(forged)).contains("stale"));
    assert_eq!(r.len(), 2);
    assert_eq!(r.all::<Call>().len(), 1);
}

#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let r = Registry::with(u32::MAX - 1, 1);
    let mut seen = HashSet::new();
    for _ in 0..2 * SHARDS {
        let id = r.insert(Arc::new(Call(0))).unwrap();
        assert!(seen.insert(id));
        r.remove::<Call>(id).unwrap();
    }
    let full = r.insert(Arc::new(Call(0))).unwrap_err();
    assert_eq!(full.code, Code::Limit);
    assert!(seen.iter().all(|id| r.get::<Call>(*id).is_err()));
}

#[test]
fn all_slots_in_use_is_an_error_that_passes() {
    let r = Registry::with(1, 2);
    let ids: Vec<_> = (0..2 * SHARDS as u64).map(|n| r.insert(Arc::new(Call(n))).unwrap()).collect();
    assert_eq!(r.insert(Arc::new(Call(0))).unwrap_err().code, Code::Limit);
    r.remove::<Call>(ids[3]).unwrap();
    let id = r.insert(Arc::new(Call(77))).unwrap();
    assert_eq!(r.get::<Call>(id).unwrap().0, 77);
    assert!(r.get::<Call>(ids[3]).is_err());
}

#[test]
fn a_type_under_a_kind_that_is_not_its_own_is_refused() {
    let r = Registry::new();
    let id = r.insert(Arc::new(Call(1))).unwrap();
    assert!(r.get::<Impostor>(id).is_err());
    assert!(r.get::<Call>(id).is_ok());
}

#[test]
fn an_object_is_dropped_outside_the_lock() {
    struct Nested(&'static Registry, u64);
    impl Object for Nested {
        const KIND: Kind = Kind::Client;
    }
    impl Drop for Nested {
        fn drop(&mut self) {
            // Would hang if the shard were still locked.
            let _ = self.0.remove::<Call>(self.1);
        }
    }
    let r: &'static Registry = Box::leak(Box::new(Registry::new()));
    let (done, finished) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for _ in 0..SHARDS {
            let call = r.insert(Arc::new(Call(1))).unwrap();
            let id = r.insert(Arc::new(Nested(r, call))).unwrap();
            drop(r.remove::<Nested>(id));
            assert!(r.get::<Call>(call).is_err());
        }
        done.send(()).unwrap();
    });
    finished.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(r.is_empty());
}

#[test]
fn threads_insert_get_and_remove_at_once() {
    const THREADS: usize = 4;
    const EACH: u64 = 3000;
    let r = Registry::new();
    let start = Barrier::new(THREADS + 1);
    let over = AtomicBool::new(false);
    // Ids that somebody may have removed meanwhile: get must give the right object or "stale".
    let shared = parking_lot::Mutex::new(Vec::<(u64, u64)>::new());
    let deadline = Instant::now() + Duration::from_secs(60);
    let all: Vec<u64> = thread::scope(|s| {
        s.spawn(|| {
            start.wait();
            while !over.load(Relaxed) {
                assert!(Instant::now() < deadline);
                for (id, value) in shared.lock().clone() {
                    match r.get::<Call>(id) {
                        Ok(call) => assert_eq!(call.0, value),
                        Err(e) => assert_eq!(e.code, Code::Handle),
                    }
                }
            }
        });
        let (r, start, shared) = (&r, &start, &shared);
        let writers: Vec<_> = (0..THREADS as u64)
            .map(|t| {
                s.spawn(move || {
                    start.wait();
                    let mut ids = Vec::new();
                    for n in 0..EACH {
                        let value = t << 32 | n;
                        let id = r.insert(Arc::new(Call(value))).unwrap();
                        ids.push(id);
                        {
                            let mut shared = shared.lock();
                            if shared.len() >= 32 {
                                shared.remove(0);
                            }
                            shared.push((id, value));
                        }
                        assert_eq!(r.get::<Call>(id).unwrap().0, value);
                        assert!(r.get::<Track>(id).is_err());
                        if n % 3 != 0 {
                            assert_eq!(r.remove::<Call>(id).unwrap().0, value);
                            assert!(r.remove::<Call>(id).is_err());
                        }
                    }
                    ids
                })
            })
            .collect();
        let all = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        over.store(true, Relaxed);
        all
    });
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "an id came twice");
    assert_eq!(r.len(), THREADS * EACH as usize / 3);
}

#[test]
fn of_many_removers_one_wins() {
    let r = Registry::new();
    for n in 0..200 {
        let id = r.insert(Arc::new(Call(n))).unwrap();
        let start = Barrier::new(4);
        let wins: usize = thread::scope(|s| {
            let racers: Vec<_> = (0..4)
                .map(|_| {
                    s.spawn(|| {
                        start.wait();
                        usize::from(r.remove::<Call>(id).is_ok())
                    })
                })
                .collect();
            racers.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
    }
}

proptest! {
    #[test]
    fn a_forged_id_reaches_nothing(forged in any::<u64>(), near in 0usize..64, bit in 0u32..64) {
        let r = Registry::new();
        let ids: Vec<_> = (0..64).map(|n| r.insert(Arc::new(Call(n))).unwrap()).collect();
        let tracks: Vec<_> = (0..64).map(|n| r.insert(Arc::new(Track(n))).unwrap()).collect();
        for id in [forged, ids[near] ^ (1 << bit), tracks[near] ^ (1 << bit)] {
            let call = r.get::<Call>(id);
            match ids.iter().position(|known| *known == id) {
                // One bit away may be the neighbour's true id; then it is that object.
                Some(at) => prop_assert_eq!(call.unwrap().0, at as u64),
                None => prop_assert_eq!(call.unwrap_err().code, Code::Handle),
            }
            let track = r.remove::<Track>(id);
            match tracks.iter().position(|known| *known == id) {
                Some(at) => prop_assert_eq!(track.unwrap().0, at as u64),
                None => prop_assert_eq!(track.unwrap_err().code, Code::Handle),
            }
        }
    }
}

/// Prints the figure; the bound is loose because test machines are busy and builds differ.
#[test]
fn a_look_up_is_cheap() {
    let r = registry();
    let ids: Vec<_> = (0..1000).map(|n| r.insert(Arc::new(Track(n))).unwrap()).collect();
    let mut best = f64::MAX;
    for _ in 0..50 {
        let began = Instant::now();
        let mut sum = 0;
        for n in 0..20 * ids.len() {
            sum += r.get::<Track>(std::hint::black_box(ids[n % ids.len()])).unwrap().0;
        }
        std::hint::black_box(sum);
        best = best.min(began.elapsed().as_nanos() as f64 / (20 * ids.len()) as f64);
    }
    println!("look-up: {best:.1} ns");
    assert!(best < 1000.0);
    for id in ids {
        r.remove::<Track>(id).unwrap();
    }
}
