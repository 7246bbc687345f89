//! Opus that is valid and silent (RFC 6716).

/// 20 ms of silence, padded to the size of music at 32 kb/s (section 3.2.5).
pub(crate) const SILENCE: [u8; 80] = {
    let mut packet = [0; 80];
    // Code 3; one frame with padding; so much padding; the frame.
    packet[0] = 0xff;
    packet[1] = 0x41;
    packet[2] = 75;
    packet[3] = 0xff;
    packet[4] = 0xfe;
    packet
};
