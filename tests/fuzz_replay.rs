//! Runs the committed corpus of every fuzz target, and inputs cut out of it, through the same functions as the fuzzer.

#[path = "../fuzz/targets.rs"]
mod targets;

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

#[test]
fn the_corpus_of_every_target() {
    // The library contains its own panics: here they are told all the same.
    let panics = Arc::new(Mutex::new(Vec::new()));
    let (note, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        note.lock().unwrap().push(panic.to_string());
        usual(panic);
    }));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::ALL {
        let mut files: Vec<_> =
            fs::read_dir(root.join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "no corpus for {name}");
        for path in files {
            let bytes = fs::read(&path).unwrap();
            println!("{name}: {}", path.display());
            target(&bytes);
            // Cut off anywhere, and each half alone.
            for end in (0..bytes.len()).step_by(bytes.len() / 8 + 1) {
                target(&bytes[..end]);
                target(&bytes[end..]);
            }
        }
        target(&[]);
        target(&[0xff; 300]);
        assert!(panics.lock().unwrap().is_empty(), "{name}: panics inside the library");
    }
}
