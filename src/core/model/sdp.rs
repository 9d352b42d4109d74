//! Parser for session descriptions (RFC 8866); the library's only one. Must not know: the engine, who offers.

/// Longest accepted session id, in bytes.
const MAX_ORIGIN: usize = 1024;
/// Two values of 256 characters and a space.
const MAX_CREDENTIALS: usize = 513;

/// A description split at its m-lines: the session part first, then one part per m-line.
#[derive(Debug)]
pub struct Parts<'a>(pub Vec<Vec<&'a str>>);

impl<'a> Parts<'a> {
    pub fn of(sdp: &'a str) -> Self {
        let mut parts = vec![Vec::new()];
        for line in sdp.lines().filter(|line| !line.is_empty()) {
            if line.starts_with("m=") {
                parts.push(Vec::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push(line);
            }
        }
        Self(parts)
    }

    pub fn media(&self) -> &[Vec<&'a str>] {
        &self.0[1..]
    }
}

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')
}

/// The value of the first attribute with this name in a part.
pub fn attribute<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| value(line, name))
}

/// The values of all attributes with this name, in any part.
pub fn attributes<'a>(sdp: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    sdp.lines().filter_map(move |line| value(line.trim_end(), name))
}

/// The mids of the m-lines that send, and whether there are m-lines at all (RFC 8829, section 5.3).
pub fn sending(sdp: &str) -> (Vec<&str>, bool) {
    const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    let direction = |lines: &[&str]| lines.iter().find_map(|line| DIRECTIONS.into_iter().find(|d| d == line));
    let parts = Parts::of(sdp);
    let all = direction(&parts.0[0]).unwrap_or(DIRECTIONS[0]);
    let sends = |lines: &&Vec<&str>| {
        // In a bundle, port zero does not always mean that the m-line has ended (RFC 8843).
        let port = lines[0].split_whitespace().nth(1).and_then(|port| port.split('/').next());
        let rejected = port == Some("0") && !lines.contains(&"a=bundle-only");
        !rejected && matches!(direction(lines).unwrap_or(all), "a=sendrecv" | "a=sendonly")
    };
    let mids = parts.media().iter().filter(sends).filter_map(|lines| attribute(lines, "mid")).collect();
    (mids, !parts.media().is_empty())
}

/// The session id of the origin line; constant for the lifetime of a peer connection (RFC 8866 §5.2).
pub fn origin(sdp: &str) -> Option<&str> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("o="))?;
    line.split_whitespace().nth(1).filter(|session| session.len() <= MAX_ORIGIN)
}

/// The first DTLS fingerprint of a description (RFC 8122); constant for the lifetime of its peer connection.
pub fn fingerprint(sdp: &str) -> Option<&str> {
    attributes(sdp, "fingerprint").next()
}

/// Identifies the ICE generation of a description: ufrag and password, which are random (RFC 8839). Unlike the DTLS
/// identity, two peer connections never share them.
pub fn credentials(sdp: &str) -> Option<String> {
    let first = |name| attributes(sdp, name).next();
    let text = format!("{} {}", first("ice-ufrag")?, first("ice-pwd")?);
    (text.len() <= MAX_CREDENTIALS).then_some(text)
}

/// The distinct ICE user name fragments of a description (RFC 8839), at most `most`.
pub fn ufrags(sdp: &str, most: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for ufrag in attributes(sdp, "ice-ufrag") {
        if found.len() < most && !found.iter().any(|f| f == ufrag) {
            found.push(ufrag.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_ufrag_and_password_together() {
        let sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=audio\r\na=ice-ufrag:v\r\n";
        assert_eq!(credentials(sdp).as_deref(), Some("u p"));
        assert_eq!(credentials("a=ice-ufrag:u\r\n"), None);
        assert_eq!(credentials(&format!("a=ice-ufrag:u\na=ice-pwd:{}\n", "x".repeat(600))), None);
        assert_eq!(ufrags(sdp, 8), ["u", "v"]);
        assert_eq!(ufrags(sdp, 1), ["u"]);
    }

    #[test]
    fn what_sends_is_neither_inactive_nor_rejected() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:a\r\na=sendonly\r\nm=audio 9 X 111\r\na=mid:b\r\na=inactive\r\n\
                   m=audio 0 X 111\r\na=mid:c\r\na=sendrecv\r\nm=audio 0 X 111\r\na=mid:d\r\na=bundle-only\r\n\
                   m=audio 9 X 111\r\na=mid:e\r\na=recvonly\r\nm=application 9 X 5000\r\na=mid:f\r\n";
        assert_eq!(sending(sdp), (vec!["a", "d", "f"], true));
        assert_eq!(sending("v=0\r\na=inactive\r\nm=audio 9 X 1\r\na=mid:a\r\n"), (vec![], true));
        assert_eq!(sending("nothing"), (vec![], false));
        assert_eq!(sending("m=\nm=audio\n"), (vec![], true));
    }

    #[test]
    fn names_of_attributes_are_whole() {
        assert_eq!(attribute(&["a=mid", "a=midi:1", "a=mid:0"], "mid"), Some("0"));
        assert_eq!(fingerprint("a=fingerprints:x\r\na=fingerprint:sha-256 AB \r\n"), Some("sha-256 AB"));
        assert_eq!(origin("v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\n"), Some("7"));
    }
}
