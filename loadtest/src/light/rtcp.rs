//! RTCP as browsers send and read it (RFC 3550, section 6; RFC 4585; RFC 5104; the transport-wide
//! congestion draft).

/// What a compound asks or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A sender's clock: the middle 32 bits of its NTP time.
    SenderReport { ssrc: u32, middle: u32 },
    /// A keyframe is wanted of this stream.
    Keyframe { ssrc: u32 },
    /// Packets of this stream are wanted again.
    Nack { ssrc: u32, seqs: Vec<u16> },
    /// What a receiver reports of one stream.
    Report(Block),
    /// Of so many packets numbered transport-wide, so many did not come.
    TransportFeedback { packets: u16, lost: u16 },
}

/// What a receiver reports of one stream (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) ssrc: u32,
    pub(crate) fraction_lost: u8,
    pub(crate) lost: u32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
    /// The middle of the last sender report's time, and how long ago it came in 1/65536 s.
    pub(crate) last_report: u32,
    pub(crate) since_report: u32,
}

/// Reads the parts that matter here; what is broken or foreign is passed over.
pub(crate) fn parse(compound: &[u8]) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), compound);
    while let Some(&[first, kind, l0, l1]) = rest.first_chunk() {
        let length = (usize::from(u16::from_be_bytes([l0, l1])) + 1) * 4;
        let Some((packet, after)) = rest.split_at_checked(length) else {
            break;
        };
        parts.extend(part(kind, first & 0x1f, packet));
        parts.extend(reports(kind, first & 0x1f, packet));
        rest = after;
    }
    parts
}

fn part(kind: u8, format: u8, packet: &[u8]) -> Option<Part> {
    let word = |at: usize| Some(u32::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    match (kind, format) {
        (SENDER_REPORT, _) => {
            let (seconds, fraction) = (word(8)?, word(12)?);
            Some(Part::SenderReport {
                ssrc: word(4)?,
                middle: seconds << 16 | fraction >> 16,
            })
        }
        (PAYLOAD_FEEDBACK, PLI) => Some(Part::Keyframe { ssrc: word(8)? }),
        (PAYLOAD_FEEDBACK, FIR) => Some(Part::Keyframe { ssrc: word(12)? }),
        (TRANSPORT_FEEDBACK, NACK) => {
            let (items, _) = packet.get(12..)?.as_chunks::<4>();
            let seqs = items.iter().flat_map(|&[p0, p1, m0, m1]| {
                let (first, mask) = (u16::from_be_bytes([p0, p1]), u16::from_be_bytes([m0, m1]));
                let more = (0..16_u16).filter(move |bit| mask >> bit & 1 == 1);
                std::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
            });
            Some(Part::Nack {
                ssrc: word(8)?,
                seqs: seqs.collect(),
            })
        }
        (TRANSPORT_FEEDBACK, TRANSPORT_CC) => {
            let packets = u16::try_from(word(12)? & 0xffff).ok()?;
            let came = came(packet.get(20..)?, packets)?;
            Some(Part::TransportFeedback {
                packets,
                lost: packets.checked_sub(came)?,
            })
        }
        _ => None,
    }
}

/// Reads the blocks of a report, which a sender's has behind its own part.
fn reports(kind: u8, count: u8, packet: &[u8]) -> Vec<Part> {
    let start = match kind {
        SENDER_REPORT => 28,
        RECEIVER_REPORT => 8,
        _ => return Vec::new(),
    };
    let (blocks, _) = packet.get(start..).unwrap_or_default().as_chunks::<24>();
    let blocks = blocks.iter().take(count.into()).map(|block| {
        let (words, _) = block.as_chunks::<4>();
        let word = |place: usize| words.get(place).map_or(0, |word| u32::from_be_bytes(*word));
        let [fraction_lost, ..] = word(1).to_be_bytes();
        Part::Report(Block {
            ssrc: word(0),
            fraction_lost,
            lost: word(1) & 0xff_ffff,
            highest: word(2),
            jitter: word(3),
            last_report: word(4),
            since_report: word(5),
        })
    });
    blocks.collect()
}

/// Returns how many of these packets came, by the chunks of a transport-wide feedback (section 3.1.2).
fn came(chunks: &[u8], packets: u16) -> Option<u16> {
    let (mut left, mut came) = (packets, 0);
    let (chunks, _) = chunks.as_chunks::<2>();
    let mut chunks = chunks.iter().map(|chunk| u16::from_be_bytes(*chunk));
    while left > 0 {
        let chunk = chunks.next()?;
        let (covered, received) = match chunk >> 14 {
            // A run of one symbol: 1 and 2 are "received".
            0 | 1 => {
                let run = (chunk & 0x1fff).min(left);
                let symbol = chunk >> 13 & 0b11;
                (run, if symbol == 1 || symbol == 2 { run } else { 0 })
            }
            2 => {
                let covered = left.min(14);
                let bits = (chunk & 0x3fff) >> (14 - covered);
                (covered, u16::try_from(bits.count_ones()).ok()?)
            }
            _ => {
                let covered = left.min(7);
                let symbols = (0..covered).map(|place| chunk >> (12 - 2 * place) & 0b11);
                let received = symbols.filter(|symbol| *symbol == 1 || *symbol == 2);
                (covered, u16::try_from(received.count()).ok()?)
            }
        };
        // An empty run would never end.
        left -= covered.max(1);
        came += received;
    }
    Some(came)
}

/// Appends a receiver report.
pub(crate) fn write_report(out: &mut Vec<u8>, sender: u32, blocks: &[Block]) {
    let count = u8::try_from(blocks.len()).unwrap_or(0) & 0x1f;
    head(out, count, RECEIVER_REPORT, 1 + blocks.len() * 6);
    out.extend(sender.to_be_bytes());
    for block in blocks {
        out.extend(block.ssrc.to_be_bytes());
        let lost = block.lost.min(0x7f_ffff) | u32::from(block.fraction_lost) << 24;
        for word in [
            lost,
            block.highest,
            block.jitter,
            block.last_report,
            block.since_report,
        ] {
            out.extend(word.to_be_bytes());
        }
    }
}

/// Appends a sender report without blocks.
pub(crate) fn write_sender_report(
    out: &mut Vec<u8>,
    ssrc: u32,
    ntp: u64,
    timestamp: u32,
    sent: (u32, u32),
) {
    head(out, 0, SENDER_REPORT, 6);
    out.extend(ssrc.to_be_bytes());
    out.extend(ntp.to_be_bytes());
    for word in [timestamp, sent.0, sent.1] {
        out.extend(word.to_be_bytes());
    }
}

/// Appends the canonical name that every compound of a browser carries.
pub(crate) fn write_name(out: &mut Vec<u8>, ssrc: u32) {
    head(out, 1, DESCRIPTION, 3);
    out.extend(ssrc.to_be_bytes());
    out.extend(*b"\x01\x05klieg\0");
}

/// Appends a keyframe request.
pub(crate) fn write_pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    head(out, PLI, PAYLOAD_FEEDBACK, 2);
    out.extend(sender.to_be_bytes());
    out.extend(media.to_be_bytes());
}

/// Appends a request for packets, sorted by their numbers.
pub(crate) fn write_nack(out: &mut Vec<u8>, sender: u32, media: u32, seqs: &[u16]) {
    let mut items: Vec<(u16, u16)> = Vec::new();
    for &seq in seqs {
        match items.last_mut() {
            Some((first, mask)) if (1..=16).contains(&seq.wrapping_sub(*first)) => {
                *mask |= 1 << (seq.wrapping_sub(*first) - 1);
            }
            Some(_) | None => items.push((seq, 0)),
        }
    }
    head(out, NACK, TRANSPORT_FEEDBACK, 2 + items.len());
    out.extend(sender.to_be_bytes());
    out.extend(media.to_be_bytes());
    for (first, mask) in items {
        out.extend(first.to_be_bytes());
        out.extend(mask.to_be_bytes());
    }
}

/// Appends the transport-wide feedback of this number on consecutive packets from `base` on: `None` did not come, others came at so many
/// quarters of a millisecond after the reference time, which counts in 64 ms.
pub(crate) fn write_transport_feedback(
    out: &mut Vec<u8>,
    ssrcs: (u32, u32),
    (number, base): (u8, u16),
    reference_64ms: u32,
    arrivals: &[Option<i64>],
) {
    let (mut chunks, mut deltas, mut last) = (Vec::new(), Vec::new(), 0);
    for seven in arrivals.chunks(7) {
        // Section 3.1.4: a vector of two-bit symbols.
        let mut chunk: u16 = 0b11 << 14;
        for (place, arrival) in seven.iter().enumerate() {
            let Some(at) = arrival else { continue };
            let delta = at - last;
            last = *at;
            let symbol = if let Ok(small) = u8::try_from(delta) {
                deltas.push(small);
                1
            } else {
                let large = delta.clamp(i16::MIN.into(), i16::MAX.into());
                deltas.extend(i16::try_from(large).unwrap_or(0).to_be_bytes());
                2
            };
            chunk |= symbol << (12 - 2 * place);
        }
        chunks.extend(chunk.to_be_bytes());
    }
    let body = 16 + chunks.len() + deltas.len();
    head(out, TRANSPORT_CC, TRANSPORT_FEEDBACK, body.div_ceil(4));
    out.extend(ssrcs.0.to_be_bytes());
    out.extend(ssrcs.1.to_be_bytes());
    out.extend(base.to_be_bytes());
    let count = u16::try_from(arrivals.len()).unwrap_or(0);
    out.extend(count.to_be_bytes());
    out.extend((reference_64ms << 8 | u32::from(number)).to_be_bytes());
    out.extend(chunks);
    out.extend(deltas);
    out.resize(out.len() + body.next_multiple_of(4) - body, 0);
}

fn head(out: &mut Vec<u8>, count: u8, kind: u8, words: usize) {
    out.extend([0x80 | count, kind]);
    out.extend(u16::try_from(words).unwrap_or(0).to_be_bytes());
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const NACK: u8 = 1;
const TRANSPORT_CC: u8 = 15;
const PLI: u8 = 1;
const FIR: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_back() {
        let mut compound = Vec::new();
        write_report(&mut compound, 1, &[Block::default()]);
        write_name(&mut compound, 1);
        write_pli(&mut compound, 1, 7);
        let seqs = [65_534, 65_535, 3, 14, 15, 500];
        write_nack(&mut compound, 1, 7, &seqs);
        let parts = parse(&compound);
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0], Part::Report(Block::default()));
        assert_eq!(parts[1], Part::Keyframe { ssrc: 7 });
        assert_eq!(
            parts[2],
            Part::Nack {
                ssrc: 7,
                seqs: seqs.to_vec()
            }
        );
    }

    #[test]
    fn a_report_is_read_back() {
        let block = Block {
            ssrc: 7,
            fraction_lost: 64,
            lost: 300,
            highest: 0x0001_0005,
            jitter: 9,
            last_report: 0x2222_3333,
            since_report: 65_536,
        };
        let mut compound = Vec::new();
        write_report(&mut compound, 1, &[block, Block::default()]);
        let expected = [block, Block::default()].map(Part::Report);
        assert_eq!(parse(&compound), expected);
        // More blocks are announced than there are.
        compound[0] |= 0x1f;
        assert_eq!(parse(&compound), expected);
    }

    #[test]
    fn transport_feedback_is_counted_in_every_kind_of_chunk() {
        let lost = |packets: u16, chunks: &[u16]| {
            let mut packet = Vec::new();
            head(
                &mut packet,
                TRANSPORT_CC,
                TRANSPORT_FEEDBACK,
                4 + chunks.len().div_ceil(2),
            );
            packet.extend([0; 10]);
            packet.extend(packets.to_be_bytes());
            packet.extend([0; 4]);
            packet.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
            packet.resize(packet.len().next_multiple_of(4), 0);
            parse(&packet)
        };
        let feedback = |packets, lost| vec![Part::TransportFeedback { packets, lost }];
        // Twenty that came, five that did not.
        assert_eq!(lost(25, &[1 << 13 | 20, 5]), feedback(25, 5));
        // One bit each: the first and the last of fourteen came, of three the second.
        assert_eq!(lost(14, &[0b10 << 14 | 1 << 13 | 1]), feedback(14, 12));
        assert_eq!(lost(3, &[0b10 << 14 | 1 << 12]), feedback(3, 2));
        // Two bits each: came, late, lost; what is behind the third is no packet.
        assert_eq!(lost(3, &[0b1101_1000_0101_0101]), feedback(3, 1));
        assert_eq!(lost(3, &[]), vec![], "cut short");
        assert_eq!(lost(2, &[0, 0]), feedback(2, 2), "empty runs end");
    }

    #[test]
    fn a_sender_report_tells_the_middle_of_its_time() {
        let mut compound = Vec::new();
        write_sender_report(&mut compound, 9, 0x1111_2222_3333_4444, 0, (0, 0));
        assert_eq!(
            parse(&compound),
            [Part::SenderReport {
                ssrc: 9,
                middle: 0x2222_3333
            }]
        );
    }

    #[test]
    fn transport_feedback_is_laid_out_as_the_draft_has_it() {
        let mut packet = Vec::new();
        let arrivals = [Some(4), None, Some(3), Some(1000)];
        write_transport_feedback(&mut packet, (1, 2), (5, 10), 0x0a0b0c, &arrivals);
        assert_eq!(packet.len() % 4, 0);
        assert_eq!(packet[..4], [0x8f, 205, 0, 6]);
        assert_eq!(packet[12..20], [0, 10, 0, 4, 0x0a, 0x0b, 0x0c, 5]);
        assert_eq!(packet[20..22], [0b1101_0010, 0b1000_0000]);
        assert_eq!(packet[22..], [4, 0xff, 0xff, 0x03, 0xe5, 0]);
    }

    #[test]
    fn broken_compounds_are_passed_over() {
        let mut compound = Vec::new();
        write_nack(&mut compound, 1, 7, &[1, 30]);
        for cut in 0..compound.len() {
            assert!(parse(&compound[..cut]).is_empty());
        }
    }
}
