//! Replay of a call's trace: the inputs of a file are passed to a fresh core at the same times, and its decisions must
//! be the same. `LAB_REPLAY=FILE` (`make lab REPLAY=FILE`) replays a given file; by default the tests replay the
//! sessions of random schedules.

use super::run;
use offhook::core::{rng::Rng, trace::replay};

const SEEDS: u64 = 60;
/// Parts of the lab's tokens, passwords and messages that no trace may contain.
const SECRETS: [&str; 3] = ["user-token", "secretsecret", "sfu-token"];

/// The traces of all sessions of a seed.
fn traces(seed: u64) -> Vec<String> {
    let world = run::traced(seed);
    assert_eq!(world.broken, None, "seed {seed}");
    world.clients.iter().filter_map(|client| client.trace.as_ref()).map(|trace| trace.text()).collect()
}

#[test]
fn replay_gives_the_same_decisions() {
    if let Some(file) = std::env::var_os("LAB_REPLAY").filter(|file| !file.is_empty()) {
        let file = std::path::PathBuf::from(file);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        match replay(&text) {
            Ok(replayed) => println!("{}: the same decisions: {replayed:?}", file.display()),
            Err(differs) => panic!("{}: {differs}", file.display()),
        }
        return;
    }
    let (mut sessions, mut outputs) = (0, 0);
    for seed in 0..SEEDS {
        for (session, text) in traces(seed).into_iter().enumerate() {
            for secret in SECRETS {
                let found = text.lines().find(|line| line.contains(secret));
                assert!(found.is_none(), "seed {seed}, session {session}: {secret} in {found:?}");
            }
            let replayed = replay(&text).unwrap_or_else(|differs| panic!("seed {seed}, session {session}: {differs}"));
            assert!(replayed.ended && replayed.beyond == 0, "seed {seed}, session {session}: {replayed:?}");
            sessions += 1;
            outputs += replayed.outputs;
        }
    }
    assert!(sessions > SEEDS && outputs > 50 * sessions, "{sessions} sessions, {outputs} outputs");
}

#[test]
fn replay_reports_where_a_decision_differs() {
    for seed in 0..8 {
        let text = traces(seed).swap_remove(0);
        let lines: Vec<&str> = text.lines().collect();
        let decided: Vec<usize> = (1..lines.len()).filter(|at| lines[*at].starts_with("{\"out\":")).collect();
        let which = Rng::new(seed).between(0, decided.len() as u64 - 2) as usize;
        let (at, next) = (decided[which], decided[which + 1]);
        // A line is removed: the next one takes its place. Two consecutive equal lines cannot be distinguished, and a
        // trace may lack its last lines.
        let fewer: String = lines.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, l)| format!("{l}\n")).collect();
        if lines[next] != lines[at] {
            let differs = replay(&fewer).expect_err("a decision is missing");
            assert!(differs.line == next, "seed {seed}: {differs}");
        }
        let other: String = lines
            .iter()
            .enumerate()
            .map(|(n, line)| if n == at { "{\"out\":{\"Nothing\":1}}\n".to_owned() } else { format!("{line}\n") })
            .collect();
        let differs = replay(&other).expect_err("a decision differs");
        assert!(differs.line == at + 1 && differs.what.contains("; the trace has"), "seed {seed}: {differs}");
    }
}

#[test]
fn replay_of_garbage_reports_the_error() {
    let text = traces(2).swap_remove(0);
    let lines = text.lines().count();
    let mut rng = Rng::new(9);
    for _ in 0..200 {
        // Cut inside a line.
        let cut = rng.between(1, text.len() as u64 - 2) as usize;
        let Some(part) = text.get(..cut).filter(|part| !part.ends_with('\n')) else { continue };
        let differs = replay(part).expect_err("it is cut");
        assert!(differs.line <= lines && !differs.what.is_empty(), "{differs}");
        // One byte is changed: the replay matches or reports an error, and nothing else.
        let mut bytes = text.clone().into_bytes();
        bytes[cut] = rng.between(0x20, 0x7e) as u8;
        if let Ok(changed) = String::from_utf8(bytes) {
            let _ = replay(&changed);
        }
    }
    let (first, rest) = text.split_once('\n').expect("a first line");
    for (garbage, reason) in [
        (String::new(), "the trace is empty"),
        ("\n\n\n".to_owned(), "not JSON"),
        ("hello\n".to_owned(), "not JSON"),
        ("{\"a\":1}\n".to_owned(), "not the first line"),
        ("{\"offhook_trace\":99}\n".to_owned(), "has format 99"),
        ("{\"offhook_trace\":1}\n".to_owned(), "cannot be read"),
        (rest.to_owned(), "not the first line"),
        (format!("{first}\nnonsense\n"), "cannot be read"),
        (format!("{first}\n{{\"at_ns\":1}}\n"), "neither"),
        (format!("{first}\n{{\"at_ns\":1,\"in\":{{\"Nobody\":2}}}}\n"), "cannot be read"),
        (format!("{first}\n{{\"out\":\"Finished\"}}\n"), "no output"),
        (
            format!("{first}\n{{\"at_ns\":5,\"tick\":true}}\n{{\"at_ns\":4,\"tick\":true}}\n"),
            "that of the previous line",
        ),
        (first.replace("\"dropped\":0", "\"dropped\":3") + "\n", "were dropped"),
    ] {
        let differs = replay(&garbage).expect_err("garbage");
        assert!(differs.what.contains(reason), "{reason}: {differs}");
    }
}
