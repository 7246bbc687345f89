//! Takes TURN's messages out of a stream (RFC 8489, section 6.2.2; RFC 8656, section 12.5).

use super::wire::{CHANNEL_HEADER_LEN, HEADER_LEN};

/// What came on a connection and is not a whole message yet; at most [`MAX_MESSAGE`] bytes and what one read brings.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: Vec<u8>,
}

/// The stream is none of TURN's: where its next message begins cannot be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream is none of TURN's")]
pub struct NotTurn;

impl Frames {
    /// Takes what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next whole message, without padding; `None` until more was read.
    ///
    /// # Errors
    /// The stream is none of TURN's, or a message is longer than any that belongs here.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, NotTurn> {
        let Some(&[first, _, l0, l1]) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let declared = usize::from(u16::from_be_bytes([l0, l1]));
        let length = match first {
            0x00..=0x3f if declared.is_multiple_of(4) => HEADER_LEN + declared,
            0x40..=0x7f => CHANNEL_HEADER_LEN + declared,
            _ => return Err(NotTurn),
        };
        if length > MAX_MESSAGE {
            return Err(NotTurn);
        }
        let padded = length.next_multiple_of(4);
        if self.buffer.len() < padded {
            return Ok(None);
        }
        let rest = self.buffer.split_off(padded);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.truncate(length);
        Ok(Some(frame))
    }
}

/// A datagram of media has some 1200 bytes, one of Ethernet 1500.
const MAX_MESSAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn channel_data(length: u8) -> Vec<u8> {
        let mut bytes = vec![0x40, 1, 0, length];
        bytes.extend(std::iter::repeat_n(7, length.into()));
        bytes
    }

    #[test]
    fn what_is_no_message_of_turn_ends_the_stream() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            &[0x80, 0, 0, 0],
            &[0x16, 3, 1, 2],
            &[0, 1, 0, 3],
            &[0x40, 0, 0xff, 0xff],
        ] {
            let mut frames = Frames::default();
            frames.extend(bytes);
            assert_eq!(frames.next_frame(), Err(NotTurn), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_were_however_the_stream_is_cut(
            lengths in prop::collection::vec(any::<u8>(), 1..20),
            cut in 1_usize..50,
        ) {
            let messages: Vec<Vec<u8>> = lengths.into_iter().map(channel_data).collect();
            let stream: Vec<u8> = messages
                .iter()
                .flat_map(|message| {
                    let mut padded = message.clone();
                    padded.resize(message.len().next_multiple_of(4), 0);
                    padded
                })
                .collect();
            let mut frames = Frames::default();
            let mut out = Vec::new();
            for part in stream.chunks(cut) {
                frames.extend(part);
                while let Some(frame) = frames.next_frame().unwrap() {
                    out.push(frame);
                }
            }
            prop_assert_eq!(out, messages);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut frames = Frames::default();
            frames.extend(&bytes);
            while let Ok(Some(_)) = frames.next_frame() {}
        }
    }
}
