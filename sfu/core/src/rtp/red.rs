//! Redundant audio data: several blocks in one packet, the newest last (RFC 2198).

/// The flag `F` of a block header: another one follows (RFC 2198, section 3).
const FOLLOWED: u8 = 0x80;

/// Splits a payload into what stands before its primary block, headers and earlier sound, and that block.
///
/// `None` where the headers say more than there is, or name another payload type than `payload_type`: blocks are numbered by
/// the packet that they are in, so a block in another coding could not be sent on under the viewers' numbers.
pub fn split(payload: &[u8], payload_type: u8) -> Option<(&[u8], &[u8])> {
    let (mut rest, mut earlier) = (payload, 0);
    loop {
        let (&first, last) = rest.split_first()?;
        if first & !FOLLOWED != payload_type {
            return None;
        }
        if first & FOLLOWED == 0 {
            let headers = payload.len() - last.len();
            return payload.split_at_checked(headers + earlier);
        }
        let (&[_, _, high, low], others) = rest.split_first_chunk()?;
        // Fourteen bits are the offset of its time, ten its length.
        earlier += usize::from(u16::from_be_bytes([high & 0x03, low]));
        rest = others;
    }
}

/// Gives the blocks of a payload that [`split`] has read another payload type.
pub fn renumber(payload: &mut [u8], payload_type: u8) {
    let mut rest = payload;
    while let Some(first) = rest.first_mut() {
        let is_followed = *first & FOLLOWED != 0;
        *first = *first & FOLLOWED | payload_type;
        rest = match rest.split_at_mut_checked(4) {
            Some((_, others)) if is_followed => others,
            Some(_) | None => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes blocks as a browser does; the last is the primary one.
    fn write(payload_type: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
        let (primary, earlier) = blocks.split_last().unwrap();
        let mut payload = Vec::new();
        for (back, block) in (1..=earlier.len()).rev().zip(earlier) {
            let offset = u32::try_from(back * 960).unwrap() & 0x3fff;
            let len = u32::try_from(block.len()).unwrap();
            let [_, rest @ ..] = (offset << 10 | len).to_be_bytes();
            payload.push(FOLLOWED | payload_type);
            payload.extend_from_slice(&rest);
        }
        payload.push(payload_type);
        for block in blocks {
            payload.extend_from_slice(block);
        }
        assert!(payload.ends_with(primary));
        payload
    }

    #[test]
    fn the_primary_block_is_found_behind_any_number_of_earlier_ones() {
        for earlier in 0..4 {
            let blocks: Vec<_> = (0..=earlier).map(|number| vec![number; 40]).collect();
            let payload = write(111, &blocks);
            let (lead, primary) = split(&payload, 111).unwrap();
            assert_eq!(primary, [earlier; 40]);
            assert_eq!(lead.len(), usize::from(earlier) * 44 + 1);
        }
    }

    #[test]
    fn blocks_may_be_empty_and_as_long_as_ten_bits_say() {
        let payload = write(111, &[Vec::new(), vec![1; 1023], Vec::new()]);
        assert!(split(&payload, 111).unwrap().1.is_empty());
    }

    #[test]
    fn headers_that_say_more_than_there_is_are_refused() {
        let whole = write(111, &[vec![1; 40], vec![2; 40], vec![3; 10]]);
        for len in 0..whole.len() - 10 {
            assert_eq!(split(&whole[..len], 111), None, "{len} bytes");
        }
        assert_eq!(split(&[0x80 | 111; 100], 111), None, "no last header");
    }

    #[test]
    fn blocks_in_another_coding_are_refused_wherever_they_stand() {
        let mut payload = write(111, &[vec![1; 4], vec![2; 4], vec![3; 4]]);
        for place in [0, 4, 8] {
            let number = std::mem::replace(&mut payload[place], (0x80 * u8::from(place < 8)) | 13);
            assert_eq!(split(&payload, 111), None, "header at {place}");
            payload[place] = number;
        }
        assert!(split(&payload, 111).is_some());
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_renumbered_in_its_headers_alone(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..6),
            numbers in (0_u8..128, 0_u8..128),
        ) {
            let mut payload = write(numbers.0, &blocks);
            let (_, primary) = split(&payload, numbers.0).unwrap();
            prop_assert_eq!(primary, &blocks[blocks.len() - 1][..]);
            renumber(&mut payload, numbers.1);
            prop_assert_eq!(payload, write(numbers.1, &blocks));
        }

        #[test]
        fn no_payload_makes_the_parser_panic(
            mut payload in proptest::collection::vec(any::<u8>(), 0..80),
            payload_type in 0_u8..128,
        ) {
            let whole = split(&payload, payload_type).map(|(lead, primary)| [lead, primary].concat());
            prop_assert!(whole.is_none_or(|whole| whole == payload));
            let len = payload.len();
            renumber(&mut payload, payload_type);
            prop_assert_eq!(payload.len(), len);
        }
    }
}
