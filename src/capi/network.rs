//! The members of `oh_client_options` about this machine's network and a proxy, checked.
//!
//! Must not know: how they are applied.

use super::{
    client::oh_client_options,
    convert::{argument, credential, optional},
};
use crate::error::Result;
use crate::rtc::engine::{Families, NetworkPolicy};

/// Which IP addresses media uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_ip_family {
    /// IPv4 and IPv6.
    OH_IP_ANY = 0,
    /// IPv4 only.
    OH_IP_V4 = 1,
    /// IPv6 only.
    OH_IP_V6 = 2,
}
pub type oh_ip_family_t = i32;

/// Most names in `interfaces`.
const MAX_INTERFACES: usize = 64;
/// Longest name of a network interface, in bytes (IFNAMSIZ without its NUL).
const MAX_INTERFACE: usize = 15;
/// Schemes of a proxy's URL.
const PROXIES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

/// # Safety
/// Texts must be NULL or NUL-terminated.
pub(super) unsafe fn policy(options: &oh_client_options) -> Result<NetworkPolicy> {
    // SAFETY: by the caller's contract.
    let names = unsafe { optional(options.interfaces, "oh_client_options.interfaces")? };
    let (interfaces, excluded_interfaces) = interfaces(names.as_deref().unwrap_or_default())?;
    let families = match options.ip_family {
        family if family == oh_ip_family::OH_IP_ANY as i32 => Families::Both,
        family if family == oh_ip_family::OH_IP_V4 as i32 => Families::V4,
        family if family == oh_ip_family::OH_IP_V6 as i32 => Families::V6,
        other => {
            return Err(argument(format!("oh_client_options.ip_family is {other}; it must be one of oh_ip_family")))
        }
    };
    let dscp = match u8::try_from(options.dscp) {
        Ok(dscp @ 0..=63) => dscp,
        _ => {
            let text =
                format!("oh_client_options.dscp is {}; a code point is 0 to 63, for voice 46 (EF)", options.dscp);
            return Err(argument(text));
        }
    };
    let relay_only = options.relay_only != 0;
    let ports = ports(options.media_port_min, options.media_port_max)?;
    Ok(NetworkPolicy { relay_only, families, interfaces, excluded_interfaces, ports, dscp })
}

/// First and last port; `None`: any.
fn ports(min: u32, max: u32) -> Result<Option<(u16, u16)>> {
    let port = |port| u16::try_from(port).ok().filter(|port| *port > 0);
    match (min, max, port(min), port(max)) {
        (0, 0, ..) => Ok(None),
        (_, _, Some(first), Some(last)) if first < last => Ok(Some((first, last))),
        _ => Err(argument(format!(
            "oh_client_options.media_port_min is {min} and media_port_max is {max}; they must be 0 and 0, or two \
             numbers of 1 to 65535, the second above the first: a session uses up to two ports"
        ))),
    }
}

/// Names of interfaces to use, and not to use.
fn interfaces(text: &str) -> Result<(Vec<String>, Vec<String>)> {
    let wrong = |what: String| {
        argument(format!("oh_client_options.interfaces {what}; write names with commas between, such as \"eth0,wl*\""))
    };
    let (mut used, mut excluded) = (Vec::new(), Vec::new());
    for entry in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let (name, list) = match entry.strip_prefix('!') {
            Some(name) => (name, &mut excluded),
            None => (entry, &mut used),
        };
        let stem = name.strip_suffix('*').unwrap_or(name);
        if name.is_empty() {
            return Err(wrong("has an empty name".into()));
        }
        if stem.len() > MAX_INTERFACE {
            return Err(wrong(format!("has a name of {} bytes, more than the {MAX_INTERFACE} of a name", stem.len())));
        }
        if stem.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '/')) {
            return Err(wrong(format!("has {name:?}, which is no name; a * stands only at its end")));
        }
        list.push(name.to_owned());
    }
    match used.len() + excluded.len() {
        0..=MAX_INTERFACES => Ok((used, excluded)),
        more => Err(wrong(format!("has {more} names, more than {MAX_INTERFACES}"))),
    }
}

/// The proxy's URL, or "none"; never in an error, because it may hold a password.
///
/// # Safety
/// `options.proxy` must be NULL or NUL-terminated.
pub(super) unsafe fn proxy(options: &oh_client_options) -> Result<Option<String>> {
    // SAFETY: by the caller's contract.
    let Some(text) = (unsafe { credential(options.proxy, "oh_client_options.proxy")? }) else { return Ok(None) };
    if text == "none" {
        return Ok(Some(text));
    }
    let found = match text.split_once("://") {
        Some((scheme, _)) if PROXIES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => return Ok(Some(text)),
        Some((scheme, _)) if scheme.len() <= 10 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            format!("begins with \"{scheme}://\"")
        }
        _ => "has no scheme".to_owned(),
    };
    Err(argument(format!(
        "oh_client_options.proxy {found}; it must begin with http://, https://, socks5:// or socks5h://, or be \"none\""
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::sized::Grows;
    use crate::error::Code;
    use std::ffi::CString;

    fn options(change: impl FnOnce(&mut oh_client_options)) -> oh_client_options {
        let mut options = oh_client_options::blank();
        change(&mut options);
        options
    }

    fn policy_of(change: impl FnOnce(&mut oh_client_options)) -> Result<NetworkPolicy> {
        // SAFETY: the texts that tests set are C strings that outlive the call.
        unsafe { policy(&options(change)) }
    }

    fn refused<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code, Code::Argument);
        error.message.into_owned()
    }

    #[test]
    fn without_options_the_policy_is_the_default() {
        assert_eq!(policy_of(|_| {}), Ok(NetworkPolicy::default()));
        // SAFETY: no texts.
        assert_eq!(unsafe { proxy(&options(|_| {})) }, Ok(None));
    }

    #[test]
    fn interfaces_are_used_or_excluded_by_name() {
        let names = CString::new(" eth0, wl*,!docker*,!lo , *").unwrap();
        let policy = policy_of(|o| o.interfaces = names.as_ptr()).unwrap();
        assert_eq!(policy.interfaces, ["eth0", "wl*", "*"]);
        assert_eq!(policy.excluded_interfaces, ["docker*", "lo"]);
        let fifteen = "a23456789012345*";
        assert_eq!(interfaces(fifteen).unwrap().0, [fifteen]);
        let many = vec!["e"; MAX_INTERFACES].join(",");
        assert_eq!(interfaces(&many).unwrap().0.len(), MAX_INTERFACES);
        for (bad, found) in [
            (",", "empty name"),
            ("eth0,", "empty name"),
            ("!", "empty name"),
            ("eth0,,eth1", "empty name"),
            ("eth0 eth1", "\"eth0 eth1\""),
            ("e*h0", "\"e*h0\""),
            ("**", "\"**\""),
            ("a/b", "\"a/b\""),
            ("a\u{7f}", "\"a\\u{7f}\""),
            ("a234567890123456", "16 bytes"),
            (&format!("{many},e"), "65 names"),
        ] {
            let text = refused(interfaces(bad));
            assert!(text.starts_with("oh_client_options.interfaces has ") && text.contains(found), "{bad:?}: {text}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        let range =
            |min, max| policy_of(|o| (o.media_port_min, o.media_port_max) = (min, max)).map(|policy| policy.ports);
        assert_eq!(range(0, 0), Ok(None));
        assert_eq!(range(1, 65_535), Ok(Some((1, 65_535))));
        assert_eq!(range(40_000, 40_001), Ok(Some((40_000, 40_001))));
        for (min, max) in [(0, 1), (1, 0), (5, 5), (40_001, 40_000), (1, 65_536), (65_536, 65_537), (1, u32::MAX)] {
            let text = refused(range(min, max));
            assert!(text.contains(&format!("media_port_min is {min} and media_port_max is {max};")), "{text}");
        }
        for dscp in [1, 46, 63] {
            assert_eq!(policy_of(|o| o.dscp = dscp).map(|policy| u32::from(policy.dscp)), Ok(dscp));
        }
        for dscp in [64, 255, 256 + 46, u32::MAX] {
            assert!(refused(policy_of(|o| o.dscp = dscp)).contains(&format!("dscp is {dscp};")));
        }
        for (family, families) in [(0, Families::Both), (1, Families::V4), (2, Families::V6)] {
            assert_eq!(policy_of(|o| o.ip_family = family).map(|policy| policy.families), Ok(families));
        }
        for family in [-1, 3, i32::MAX] {
            assert!(refused(policy_of(|o| o.ip_family = family)).contains(&format!("ip_family is {family};")));
        }
        assert!(policy_of(|o| o.relay_only = 1).unwrap().relay_only);
    }

    #[test]
    fn a_proxy_has_a_scheme_and_is_never_shown() {
        let of = |text: &str| {
            let text = CString::new(text).unwrap();
            // SAFETY: a C string that outlives the call.
            unsafe { proxy(&options(|o| o.proxy = text.as_ptr())) }
        };
        for good in ["none", "http://u:p@h:3128", "HTTPS://h", "socks5://[::1]:1080", "socks5h://h"] {
            assert_eq!(of(good), Ok(Some(good.to_owned())));
        }
        assert_eq!(of(" http://h\n"), Ok(Some("http://h".to_owned())), "blanks around it are no part of it");
        assert_eq!(of(""), Ok(None));
        for (bad, found) in [
            ("ftp://u:5ecret@h", "\"ftp://\""),
            ("u:5ecret@h:3128", "no scheme"),
            ("u:5ecret://h", "no scheme"),
            ("5ecret5ecret://h", "no scheme"),
            ("None", "no scheme"),
            ("http://u:5ecret @h", "(at byte"),
            ("\n", "blanks"),
        ] {
            let text = refused(of(bad));
            assert!(text.starts_with("oh_client_options.proxy ") && text.contains(found), "{bad:?}: {text}");
            assert!(!text.contains("5ecret"), "{text}");
        }
    }
}
