//! Takes the datagrams out of a stream of bytes (RFC 4571, section 2).

#![warn(clippy::indexing_slicing)]

use super::PREFIX;

/// The longest frame that is taken: an Ethernet frame's worth, and some.
pub const MAX_FRAME: usize = 2048;

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is said to be longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes")]
    TooLong(usize),
}

/// Puts frames together that come in parts.
#[derive(Debug, Default)]
pub struct Deframer {
    /// The beginning of a frame whose end has not come, with its length in front; empty between two frames. At most
    /// [`MAX_FRAME`] and that length.
    begun: Vec<u8>,
}

impl Deframer {
    /// Takes what has come and gives each frame that is complete to `take`. After an error the stream makes no sense.
    ///
    /// # Errors
    /// A frame is too long.
    pub fn take(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), FrameError> {
        let mut rest = bytes;
        while !self.begun.is_empty() && !rest.is_empty() {
            let missing = match self.begun.first_chunk::<PREFIX>() {
                None => PREFIX - self.begun.len(),
                Some(prefix) => PREFIX + length(*prefix)? - self.begun.len(),
            };
            let (part, others) = rest.split_at(missing.min(rest.len()));
            self.begun.extend_from_slice(part);
            rest = others;
            if self.is_complete()? {
                take(self.begun.get(PREFIX..).unwrap_or_default());
                self.begun.clear();
            }
        }
        while let Some((frame, others)) = split_frame(rest)? {
            take(frame);
            rest = others;
        }
        self.begun.extend_from_slice(rest);
        if self.begun.is_empty() {
            // Between two frames, where a connection is mostly, it takes no memory.
            self.begun = Vec::new();
        }
        Ok(())
    }

    fn is_complete(&self) -> Result<bool, FrameError> {
        let Some(prefix) = self.begun.first_chunk::<PREFIX>() else {
            return Ok(false);
        };
        Ok(self.begun.len() == PREFIX + length(*prefix)?)
    }
}

/// Returns the first frame of what has come so far; `None` while it is not complete.
///
/// # Errors
/// It is too long.
pub fn first_frame(bytes: &[u8]) -> Result<Option<&[u8]>, FrameError> {
    Ok(split_frame(bytes)?.map(|(frame, _)| frame))
}

/// A frame and what follows it; `None` while it is not complete.
type Split<'a> = Option<(&'a [u8], &'a [u8])>;

fn split_frame(bytes: &[u8]) -> Result<Split<'_>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    Ok(rest.split_at_checked(length(*prefix)?))
}

fn length(prefix: [u8; PREFIX]) -> Result<usize, FrameError> {
    let length = usize::from(u16::from_be_bytes(prefix));
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for datagram in datagrams {
            bytes.extend_from_slice(&u16::try_from(datagram.len()).unwrap().to_be_bytes());
            bytes.extend_from_slice(datagram);
        }
        bytes
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in_however_the_stream_is_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            cuts in prop::collection::vec(1..30_usize, 1..200),
        ) {
            let stream = framed(&datagrams);
            let (mut deframer, mut came) = (Deframer::default(), Vec::new());
            let (mut rest, mut cuts) = (stream.as_slice(), cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (part, others) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                deframer.take(part, |frame| came.push(frame.to_vec())).unwrap();
                rest = others;
            }
            prop_assert_eq!(came, datagrams);
            prop_assert_eq!(deframer.begun.capacity(), 0);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_out_the_same_however_they_are_cut(
            stream in prop::collection::vec(prop_oneof![Just(0_u8), Just(8), any::<u8>()], 0..400),
            cut in 1..50_usize,
        ) {
            let mut whole = Vec::new();
            let at_once = Deframer::default().take(&stream, |frame| whole.push(frame.to_vec()));
            let (mut deframer, mut parts) = (Deframer::default(), Vec::new());
            let mut in_parts = Ok(());
            for part in stream.chunks(cut) {
                let take = |frame: &[u8]| parts.push(frame.to_vec());
                in_parts = in_parts.and_then(|()| deframer.take(part, take));
            }
            prop_assert_eq!(&parts, &whole);
            prop_assert_eq!(in_parts, at_once);
            let first = first_frame(&stream).map(|frame| frame.map(<[u8]>::to_vec));
            match whole.first() {
                Some(frame) => prop_assert_eq!(first, Ok(Some(frame.clone()))),
                None => prop_assert_eq!(first.map(|_| ()), at_once),
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_before_it_has_come() {
        for cut in 0..=2 {
            let mut deframer = Deframer::default();
            let stream = [0, 1, 7, 0x08, 0x01];
            let (one, other) = stream.split_at(3 + cut);
            let mut came = 0;
            let result = deframer.take(one, |_| came += 1);
            let result = result.and_then(|()| deframer.take(other, |_| came += 1));
            assert_eq!(result, Err(FrameError::TooLong(2049)));
            assert_eq!(came, 1);
        }
        assert!(first_frame(b"GET / HTTP/1.1\r\n").is_err());
    }

    #[test]
    fn what_waits_for_the_end_of_a_frame_is_bounded() {
        let mut deframer = Deframer::default();
        let mut stream = vec![0x08, 0x00];
        stream.extend_from_slice(&[7; MAX_FRAME - 1]);
        for byte in &stream {
            deframer.take(&[*byte], |_| panic!("not complete")).unwrap();
        }
        assert_eq!(deframer.begun.len(), PREFIX + MAX_FRAME - 1);
        assert_eq!(first_frame(&stream), Ok(None));
    }
}
