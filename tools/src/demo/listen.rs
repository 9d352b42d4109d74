//! Lists the recordings of a demo and the commands that play them.
//!
//! Knows file names and common players. Must not know: the verdict.

use std::{fmt::Write, path::Path};

/// Programs that play a WAV file, with their options.
const PLAYERS: [(&str, &str); 5] =
    [("pw-play", ""), ("paplay", ""), ("aplay", "-q "), ("play", "-q "), ("ffplay", "-nodisp -autoexit -v error ")];

/// Text for the end of a demo: each recording that exists, its content, and the command that plays it. `path` is the
/// value of `PATH`.
pub fn listen(out: &Path, path: &str) -> String {
    let here = |name: &str| std::env::split_paths(path).any(|folder| folder.join(name).is_file());
    let player = PLAYERS.iter().find(|(name, _)| here(name));
    let mut text = String::from("listen to it:\n");
    let mut any = false;
    for (talker, listener) in [("alice", "bob"), ("bob", "alice")] {
        let said = out.join(format!("{talker}-sent.wav"));
        let received = out.join(format!("{listener}-received.wav"));
        for (file, what) in
            [(received, format!("what {listener} received from {talker}")), (said, format!("what {talker} sent"))]
        {
            if !file.is_file() {
                continue;
            }
            any = true;
            let command = player.map_or(String::new(), |(name, options)| format!("{name} {options}"));
            let _ = writeln!(text, "  {command}{}    # {what}", file.display());
        }
    }
    if !any {
        return String::new();
    }
    if player.is_none() {
        text.push_str("any audio player plays them; on Debian: apt-get install alsa-utils, then aplay FILE\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_named_with_a_player_that_is_there() {
        let folder = std::env::temp_dir().join(format!("offhook-listen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(listen(&folder, ""), "");
        std::fs::write(folder.join("bob-received.wav"), "").unwrap();
        std::fs::write(folder.join("alice-sent.wav"), "").unwrap();
        let without = listen(&folder, "");
        assert!(without.contains("bob-received.wav    # what bob received from alice\n"), "{without}");
        assert!(
            without.contains("alice-sent.wav    # what alice sent\n") && without.contains("aplay FILE"),
            "{without}"
        );
        assert!(!without.contains("alice-received"), "{without}");
        std::fs::write(folder.join("aplay"), "").unwrap();
        let with = listen(&folder, folder.to_str().unwrap());
        assert!(with.contains("  aplay -q /") && !with.contains("apt-get"), "{with}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
