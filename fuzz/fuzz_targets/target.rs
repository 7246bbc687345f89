//! Where somebody wants a webhook to go.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let Some(url) = klieg_signaling::webhook_target(input) else {
        return;
    };
    // What is taken is taken again, as it is.
    assert_eq!(klieg_signaling::webhook_target(&url).as_deref(), Some(url.as_str()));
    let rest = url.strip_prefix("https://").unwrap();
    let host = rest.split(['/', '?']).next().unwrap();
    assert!(!host.contains('@'));
    let host = if let Some((inside, _)) = host.strip_prefix('[').and_then(|it| it.split_once(']')) {
        inside
    } else {
        host.split(':').next().unwrap()
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        let address = address.to_canonical();
        assert!(!address.is_loopback() && !address.is_unspecified() && !address.is_multicast());
        if let IpAddr::V4(address) = address {
            assert!(!address.is_private() && !address.is_link_local());
        }
    }
});
