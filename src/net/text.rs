//! Sanitises text from peers: bounded, printable, without known secrets.
//!
//! Must not know: which server sent it or in which protocol.

use crate::error::Secret;

/// Longest server text that is kept in a failure, in bytes.
pub(crate) const MAX_SERVER_TEXT: usize = 512;

/// Shortest secret that is replaced: anything shorter would also match ordinary words.
const MIN_SECRET: usize = 6;

/// Cuts `text` to at most `max` bytes, on a character boundary.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Like [`truncate`] for owned text; does not copy.
pub(crate) fn bounded(mut text: String, max: usize) -> String {
    let end = truncate(&text, max).len();
    text.truncate(end);
    text
}

/// Prepares a server's message for display: control characters become spaces, the length is at most
/// [`MAX_SERVER_TEXT`] bytes, and every known secret is replaced. Secrets are replaced first, so
/// that truncation cannot leave half of one behind.
pub(crate) fn clean(text: &str, secrets: &[&Secret]) -> String {
    // Work on a bounded piece, large enough that a secret straddling the final cut is still whole.
    let longest = secrets.iter().map(|secret| secret.reveal().len()).max().unwrap_or(0);
    let piece = truncate(text, MAX_SERVER_TEXT + longest);
    let mut kept = piece.to_owned();
    for secret in secrets.iter().map(|secret| secret.reveal()).filter(|secret| secret.len() >= MIN_SECRET) {
        kept = kept.replace(secret, "<secret>");
    }
    let kept: String = kept.chars().map(|c| if is_noise(c) { ' ' } else { c }).collect();
    let kept = kept.trim();
    let cut = truncate(kept, MAX_SERVER_TEXT);
    // A secret that crosses the end of the piece was not found; remove its beginning.
    without_secret_head(cut, secrets).trim_end().to_owned()
}

/// Control characters, and the invisible ones that reorder or break lines in a log.
fn is_noise(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn without_secret_head<'a>(text: &'a str, secrets: &[&Secret]) -> &'a str {
    for secret in secrets.iter().map(|secret| secret.reveal()).filter(|secret| secret.len() >= MIN_SECRET) {
        for length in (MIN_SECRET..secret.len()).rev() {
            if secret.is_char_boundary(length) && text.ends_with(&secret[..length]) {
                return &text[..text.len() - length];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_bounded() {
        assert_eq!(clean("full\r\nX: y\u{0}\u{202e}!", &[]), "full  X: y  !");
        assert_eq!(clean(&"é".repeat(400), &[]).len(), 512);
        assert_eq!(truncate("aé", 2), "a");
    }

    #[test]
    fn a_secret_is_never_kept_not_even_its_head() {
        let token = Secret::new("tok-0123456789abcdef");
        assert_eq!(clean("bad token tok-0123456789abcdef!", &[&token]), "bad token <secret>!");
        for padding in 480..530 {
            let text = format!("{}{} end", "x".repeat(padding), token.reveal());
            assert!(!clean(&text, &[&token]).contains("tok-01"), "padding {padding}");
        }
        // The server truncated the token.
        let echoed = clean("bad token tok-0123456", &[&token]);
        assert_eq!(echoed, "bad token");
    }
}
