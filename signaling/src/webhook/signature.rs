//! Signatures as Standard Webhooks has them: HMAC-SHA256 over id, time and body.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::auth::Secret;

/// Makes a secret of 256 random bits.
pub(crate) fn new_secret() -> Secret {
    let bytes: [u8; 32] = rand::random();
    Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// Signs a message with each secret that holds at present: one who knows any of them can check it.
pub(super) fn sign<'a>(
    secrets: impl Iterator<Item = &'a Secret>,
    (id, seconds): (&str, u64),
    body: &str,
) -> String {
    let text = format!("{id}.{seconds}.{body}");
    let signatures = secrets.map(|secret| {
        let text_of_key = secret.expose();
        let encoded = text_of_key.strip_prefix(PREFIX).unwrap_or(text_of_key);
        let key = STANDARD.decode(encoded).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let tag = hmac::sign(&key, text.as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

const PREFIX: &str = "whsec_";

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn a_signature_is_that_of_the_standard() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign([&secret].into_iter(), (id, 1_614_265_330), body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = sign(
            [&secret, &new_secret()].into_iter(),
            (id, 1_614_265_330),
            body,
        );
        assert!(both.starts_with(&format!("{signed} v1,")));
    }

    #[test]
    fn a_new_secret_is_never_the_one_before() {
        let secret = new_secret();
        let key = STANDARD.decode(&secret.expose()[PREFIX.len()..]).unwrap();
        assert_eq!(key.len(), 32);
        assert_ne!(secret, new_secret());
    }
}
