//! Text from servers: sanitised, and the one header whose value is a time.
//!
//! Must not know: which server sent it or in which protocol.

pub(crate) use crate::net::text::{bounded, clean, truncate};
use std::time::{Duration, SystemTime};

/// Longest Retry-After; longer values are reduced to this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Milliseconds of a `Retry-After` header (RFC 9110 §10.2.3): seconds or an HTTP date. A date in
/// the past is 0, an invalid value is `None`, the rest is capped at one hour.
pub(crate) fn retry_after_ms(value: &str, now: SystemTime) -> Option<u64> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER).as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        assert_eq!(retry_after_ms("7", now), Some(7000));
        assert_eq!(retry_after_ms("Wed, 21 Oct 2015 07:28:03 GMT", now), Some(3000));
        assert_eq!(retry_after_ms("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(0));
        assert_eq!(retry_after_ms("99999999999", now), Some(3_600_000));
        assert_eq!(retry_after_ms("-1", now), None);
        assert_eq!(retry_after_ms("soon", now), None);
    }
}
