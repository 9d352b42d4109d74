//! What a session description says of itself (RFC 8866). Must not know: the engine, who offers.

/// Longest session id that is taken for one, in bytes.
const MAX_ORIGIN: usize = 1024;

/// The session id of the origin line, which a peer connection keeps as long as it lives (RFC 8866 §5.2).
pub fn origin(sdp: &str) -> Option<&str> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    line.split_whitespace().nth(1).filter(|session| session.len() <= MAX_ORIGIN)
}
