//! Runs the committed corpus of every fuzz target, and inputs cut out of it, through the same functions as the fuzzer.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n.max(1)
    }

    /// Replaces, removes, inserts or duplicates a few bytes.
    fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(out.len());
            match self.below(6) {
                0 if !out.is_empty() => out[at] = self.next() as u8,
                1 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                2 if !out.is_empty() => drop(out.remove(at)),
                3 => out.insert(at, self.next() as u8),
                4 => out.truncate(at),
                _ => {
                    let end = (at + self.below(32)).min(out.len());
                    let piece = out[at.min(end)..end].to_vec();
                    let to = self.below(out.len() + 1);
                    out.splice(to..to, piece);
                }
            }
        }
        out
    }
}

#[test]
fn the_corpus_of_every_target() {
    // The library contains its own panics: this hook records them anyway.
    let panics = Arc::new(Mutex::new(Vec::new()));
    let (note, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        note.lock().unwrap().push(panic.to_string());
        usual(panic);
    }));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    // Without a fuzzer at hand: random changes from a fixed seed; more with OFFHOOK_MUTATIONS.
    let mutations: u64 = std::env::var("OFFHOOK_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let mut random = Random(0x0ff_400c);
    for (name, target) in targets::ALL {
        let mut files: Vec<_> = fs::read_dir(root.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "no corpus for {name}");
        for path in files {
            let bytes = fs::read(&path).unwrap();
            println!("{name}: {}", path.display());
            target(&bytes);
            // Cut at several places, and each part alone.
            for end in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
                target(&bytes[..end]);
                target(&bytes[end..]);
            }
            for n in 0..mutations {
                let changed = random.change(&bytes);
                let fine = std::panic::catch_unwind(|| target(&changed));
                assert!(fine.is_ok(), "{name}: mutation {n} of {}: {changed:?}", path.display());
            }
        }
        target(&[]);
        target(&[0xff; 300]);
        assert!(panics.lock().unwrap().is_empty(), "{name}: panics inside the library");
    }
}
