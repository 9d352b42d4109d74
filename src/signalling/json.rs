//! Counts the values of a JSON text before it is decoded.
//!
//! Three bytes of JSON can decode into hundreds of bytes of structures, so a size limit alone
//! bounds little. The scan allocates nothing and does not validate; the parser that follows does
//! (and bounds the depth). Must not know: what the JSON is about.

/// Most objects and arrays in one text.
const MAX_CONTAINERS: usize = 20_000;
/// Most values in one text, counted by the commas between them.
const MAX_VALUES: usize = 200_000;

/// Whether `text` contains few enough values to be decoded.
pub(crate) fn is_modest(text: &[u8]) -> bool {
    let (mut containers, mut values) = (0usize, 0usize);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => containers += 1,
            b',' => values += 1,
            b'"' => {
                // Skip the string, so that an SDP or a nested candidate does not count.
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            bytes.next();
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    containers <= MAX_CONTAINERS && values <= MAX_VALUES
}

#[cfg(test)]
mod tests {
    use super::is_modest;

    #[test]
    fn counts_structure_and_not_strings() {
        assert!(is_modest(br#"{"a":[1,2,{"b":"\"{"}]}"#));
        let quoted = format!("{{\"sdp\":\"{}\"}}", "{[,".repeat(300_000));
        assert!(is_modest(quoted.as_bytes()));
        assert!(!is_modest("{},".repeat(20_001).as_bytes()));
        assert!(!is_modest("0,".repeat(200_001).as_bytes()));
        assert!(is_modest(b"\"unfinished \\"));
    }
}
