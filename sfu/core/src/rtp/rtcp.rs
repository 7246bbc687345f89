//! RTCP: what is read from compound packets and what is written (RFC 3550 section 6, RFC 4585, RFC 5104).

use crate::congestion::feedback::TransportFeedback;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// Format of a generic NACK (RFC 4585, section 6.2.1).
const NACK: u8 = 1;
/// Format of transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3.1).
const TRANSPORT_WIDE: u8 = 15;
/// Format of application layer feedback, which a receiver's estimate comes in (draft-alvestrand-rmcat-remb-03).
const APPLICATION: u8 = 15;
/// Format of a picture loss indication (RFC 4585, section 6.3.1).
const PLI: u8 = 1;
/// Format of a full intra request (RFC 5104, section 4.3.1).
const FIR: u8 = 4;

/// The length of the longer of the two keyframe requests, in bytes.
pub(crate) const KEYFRAME_REQUEST_LEN: usize = 20;
/// Length of a report block, in bytes.
const BLOCK_LEN: usize = 24;

/// One packet of a compound that the forwarding unit acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rtcp<'a> {
    /// A sender's clock.
    SenderReport(SenderInfo),
    /// How one of our streams arrives. Sender reports carry these too.
    Reception(ReceptionReport),
    /// Packets of `ssrc` are missing; [`missing`] walks them.
    Nack {
        /// The stream.
        ssrc: u32,
        /// Pairs of packet id and bit mask, four bytes each.
        pairs: &'a [u8],
    },
    /// The decoder of `ssrc` needs a keyframe.
    Pli {
        /// The stream.
        ssrc: u32,
    },
    /// The decoder of `ssrc` needs a keyframe; repeated requests carry the same number.
    Fir {
        /// The stream.
        ssrc: u32,
        /// Command sequence number.
        number: u8,
    },
    /// `ssrc` has left.
    Goodbye {
        /// The stream.
        ssrc: u32,
    },
    /// What became of the packets of all streams.
    Transport(TransportFeedback<'a>),
    /// What the receiver believes that its path carries, in bits per second (`goog-remb`).
    MaximumBitrate(u64),
}

/// The pair of clocks in a sender report (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// Whose report it is.
    pub ssrc: u32,
    /// Wall clock in NTP format, 32.32 seconds since 1900.
    pub ntp: u64,
    /// The same moment in the stream's clock.
    pub rtp_timestamp: u32,
}

/// A reception report block (RFC 3550, section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionReport {
    /// The stream it is about.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all, 24 bits on the wire.
    pub cumulative_lost: u32,
    /// Highest sequence number received, extended by its cycles.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report; 0 when there was none.
    pub last_sender_report: u32,
    /// Time since then, in 1/65536 s.
    pub delay_since_last: u32,
}

/// Walks a decrypted compound. What is malformed ends it; what is unknown is passed over.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    /// The packets not yet read.
    rest: &'a [u8],
    /// Report blocks of the packet being read.
    blocks: &'a [u8],
    /// FIR entries of the packet being read.
    firs: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Starts at the first packet.
    pub fn read(compound: &'a [u8]) -> Self {
        Self {
            rest: compound,
            blocks: &[],
            firs: &[],
        }
    }

    /// Takes one packet off: count or format, type, body.
    fn take_packet(&mut self) -> Option<(u8, u8, &'a [u8])> {
        let &[first, kind, l0, l1] = self.rest.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let (packet, rest) = self.rest.split_at_checked(4 + len)?;
        if first >> 6 != 2 {
            return None;
        }
        self.rest = rest;
        let mut body = packet.get(4..)?;
        if first & 0x20 != 0 {
            let padding = usize::from(*body.last()?);
            body = body.get(..body.len().checked_sub(padding)?)?;
        }
        Some((first & 0x1f, kind, body))
    }

    fn take_block(&mut self) -> Option<Rtcp<'a>> {
        let (block, rest) = self.blocks.split_at_checked(BLOCK_LEN)?;
        self.blocks = rest;
        Some(Rtcp::Reception(ReceptionReport {
            ssrc: word(block, 0)?,
            fraction_lost: *block.get(4)?,
            cumulative_lost: word(block, 4)? & 0x00ff_ffff,
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_sender_report: word(block, 16)?,
            delay_since_last: word(block, 20)?,
        }))
    }

    fn take_fir(&mut self) -> Option<Rtcp<'a>> {
        let (entry, rest) = self.firs.split_at_checked(8)?;
        self.firs = rest;
        Some(Rtcp::Fir {
            ssrc: word(entry, 0)?,
            number: *entry.get(4)?,
        })
    }

    /// Reads one packet; `None` when it holds nothing to act on.
    fn interpret(&mut self, count: u8, kind: u8, body: &'a [u8]) -> Option<Rtcp<'a>> {
        match (kind, count) {
            (SENDER_REPORT, count) => {
                self.blocks = blocks(body.get(24..).unwrap_or_default(), count);
                let ntp = u64::from(word(body, 4)?) << 32 | u64::from(word(body, 8)?);
                let info = SenderInfo {
                    ssrc: word(body, 0)?,
                    ntp,
                    rtp_timestamp: word(body, 12)?,
                };
                body.get(23).map(|_| Rtcp::SenderReport(info))
            }
            (RECEIVER_REPORT, count) => {
                self.blocks = blocks(body.get(4..).unwrap_or_default(), count);
                None
            }
            (GOODBYE, 1..) => Some(Rtcp::Goodbye {
                ssrc: word(body, 0)?,
            }),
            (TRANSPORT_FEEDBACK, NACK) => Some(Rtcp::Nack {
                ssrc: word(body, 4)?,
                pairs: body.get(8..)?,
            }),
            (PAYLOAD_FEEDBACK, PLI) => Some(Rtcp::Pli {
                ssrc: word(body, 4)?,
            }),
            (TRANSPORT_FEEDBACK, TRANSPORT_WIDE) => {
                TransportFeedback::parse(body.get(8..)?).map(Rtcp::Transport)
            }
            (PAYLOAD_FEEDBACK, APPLICATION) => {
                maximum_bitrate(body.get(8..)?).map(Rtcp::MaximumBitrate)
            }
            (PAYLOAD_FEEDBACK, FIR) => {
                self.firs = body.get(8..)?;
                None
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Rtcp<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.take_block().or_else(|| self.take_fir()) {
                return Some(item);
            }
            let (count, kind, body) = self.take_packet()?;
            if let Some(item) = self.interpret(count, kind, body) {
                return Some(item);
            }
        }
    }
}

/// Walks the sequence numbers named by the pairs of a NACK, at most 17 a pair.
pub fn missing(pairs: &[u8]) -> impl Iterator<Item = u16> {
    pairs
        .chunks_exact(4)
        .filter_map(|pair| pair.first_chunk::<4>())
        .flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let mask = u16::from_be_bytes([b0, b1]);
            let following = (0..16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(following.map(move |bit| first.wrapping_add(bit + 1)))
        })
}

/// Appends a sender report without report blocks.
pub fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, packets: u32, bytes: u32) {
    write_header(out, 0, SENDER_REPORT, 6);
    out.extend_from_slice(&info.ssrc.to_be_bytes());
    out.extend_from_slice(&info.ntp.to_be_bytes());
    out.extend_from_slice(&info.rtp_timestamp.to_be_bytes());
    out.extend_from_slice(&packets.to_be_bytes());
    out.extend_from_slice(&bytes.to_be_bytes());
}

/// Appends a receiver report of at most 31 blocks; further ones are left out.
pub fn write_receiver_report(out: &mut Vec<u8>, sender: u32, reports: &[ReceptionReport]) {
    let reports = reports.get(..31).unwrap_or(reports);
    let count = u8::try_from(reports.len()).unwrap_or(31);
    write_header(out, count, RECEIVER_REPORT, 1 + 6 * u16::from(count));
    out.extend_from_slice(&sender.to_be_bytes());
    for report in reports {
        let lost = (u32::from(report.fraction_lost) << 24) | (report.cumulative_lost & 0x00ff_ffff);
        out.extend_from_slice(&report.ssrc.to_be_bytes());
        out.extend_from_slice(&lost.to_be_bytes());
        out.extend_from_slice(&report.highest_sequence.to_be_bytes());
        out.extend_from_slice(&report.jitter.to_be_bytes());
        out.extend_from_slice(&report.last_sender_report.to_be_bytes());
        out.extend_from_slice(&report.delay_since_last.to_be_bytes());
    }
}

/// Appends a source description with a canonical name, of which the first 255 bytes count.
pub fn write_source_description(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let cname = cname.as_bytes();
    let len = u8::try_from(cname.len()).unwrap_or(u8::MAX);
    // Chunk: ssrc, item type and length, text, and one to four zero bytes up to a word.
    let words = 1 + (2 + u16::from(len)) / 4 + 1;
    let end = out.len() + 4 + usize::from(words) * 4;
    write_header(out, 1, SOURCE_DESCRIPTION, words);
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&[1, len]);
    out.extend(cname.iter().take(usize::from(len)));
    out.resize(end, 0);
}

/// Appends a picture loss indication.
pub fn write_pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    write_header(out, PLI, PAYLOAD_FEEDBACK, 2);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
}

/// Appends a full intra request.
pub fn write_fir(out: &mut Vec<u8>, sender: u32, media: u32, number: u8) {
    write_header(out, FIR, PAYLOAD_FEEDBACK, 4);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&0_u32.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    out.extend_from_slice(&[number, 0, 0, 0]);
}

/// Returns how many sequence numbers fit a NACK of `room` bytes, however far they are apart.
pub(crate) fn nack_capacity(room: usize) -> usize {
    room.saturating_sub(12) / 4
}

/// Appends a generic NACK for ascending sequence numbers; nothing when there are none.
pub fn write_nack(out: &mut Vec<u8>, sender: u32, media: u32, missing: &[u16]) {
    if missing.is_empty() {
        return;
    }
    let start = out.len();
    write_header(out, NACK, TRANSPORT_FEEDBACK, 0);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
    let mut rest = missing;
    while let Some((&first, following)) = rest.split_first() {
        let in_reach = following
            .iter()
            .take_while(|seq| seq.wrapping_sub(first) <= 16)
            .count();
        let (in_mask, next) = following
            .split_at_checked(in_reach)
            .unwrap_or((following, &[]));
        let mask = in_mask
            .iter()
            .filter(|&&seq| seq != first)
            .fold(0_u16, |mask, seq| mask | 1 << (seq.wrapping_sub(first) - 1));
        out.extend_from_slice(&first.to_be_bytes());
        out.extend_from_slice(&mask.to_be_bytes());
        rest = next;
    }
    write_length(out, start);
}

/// Appends the header of a transport feedback message of format `format`; its length is set later.
pub(crate) fn start_transport_feedback(out: &mut Vec<u8>, format: u8, sender: u32, media: u32) {
    write_header(out, format, TRANSPORT_FEEDBACK, 0);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&media.to_be_bytes());
}

/// Pads the packet that began at `start` to whole words and writes its length.
pub(crate) fn write_length(out: &mut Vec<u8>, start: usize) {
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    if let Some(field) = out.get_mut(start + 2..start + 4) {
        field.copy_from_slice(&words.to_be_bytes());
    }
}

/// Reads a receiver's estimate (draft-alvestrand-rmcat-remb-03, section 2.2).
fn maximum_bitrate(message: &[u8]) -> Option<u64> {
    let &[b'R', b'E', b'M', b'B', _, b0, b1, b2] = message.first_chunk()? else {
        return None;
    };
    let mantissa = u64::from(b0 & 0x03) << 16 | u64::from(b1) << 8 | u64::from(b2);
    // An exponent can be 63; what does not fit is more than any path carries.
    Some(mantissa.saturating_mul(1 << (b0 >> 2)))
}

fn write_header(out: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    let [l0, l1] = words.to_be_bytes();
    out.extend_from_slice(&[0x80 | count, kind, l0, l1]);
}

fn blocks(body: &[u8], count: u8) -> &[u8] {
    let len = body.len().min(usize::from(count) * BLOCK_LEN);
    body.get(..len).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
    use rtcp::source_description::SourceDescription;
    use rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

    fn parsed_elsewhere(mut bytes: &[u8]) -> Vec<Box<dyn rtcp::Packet>> {
        rtcp::packet::unmarshal(&mut bytes).unwrap()
    }

    #[test]
    fn a_compound_of_reports_is_read_block_by_block() {
        let mut out = Vec::new();
        let info = SenderInfo {
            ssrc: 1,
            ntp: 0x0123_4567_89ab_cdef,
            rtp_timestamp: 99,
        };
        write_sender_report(&mut out, &info, 5, 600);
        let report = ReceptionReport {
            ssrc: 7,
            fraction_lost: 3,
            cumulative_lost: 4,
            highest_sequence: 5,
            jitter: 6,
            last_sender_report: 7,
            delay_since_last: 8,
        };
        write_receiver_report(
            &mut out,
            2,
            &[report, ReceptionReport { ssrc: 8, ..report }],
        );
        write_source_description(&mut out, 1, "klieg");
        write_pli(&mut out, 1, 55);

        let read: Vec<_> = Compound::read(&out).collect();

        assert_eq!(
            read,
            [
                Rtcp::SenderReport(info),
                Rtcp::Reception(report),
                Rtcp::Reception(ReceptionReport { ssrc: 8, ..report }),
                Rtcp::Pli { ssrc: 55 },
            ]
        );
        assert_eq!(parsed_elsewhere(&out).len(), 4);
    }

    #[test]
    fn another_implementation_reads_our_nack_and_fir() {
        let mut out = Vec::new();
        write_nack(&mut out, 1, 2, &[65_534, 65_535, 0, 14, 15, 100]);
        write_fir(&mut out, 1, 2, 9);

        let packets = parsed_elsewhere(&out);

        let nack = packets[0]
            .as_any()
            .downcast_ref::<TransportLayerNack>()
            .unwrap();
        let named: Vec<u16> = nack
            .nacks
            .iter()
            .flat_map(|pair| pair.packet_list())
            .collect();
        assert_eq!(named, [65_534, 65_535, 0, 14, 15, 100]);
        let fir = packets[1]
            .as_any()
            .downcast_ref::<FullIntraRequest>()
            .unwrap();
        assert_eq!((fir.fir[0].ssrc, fir.fir[0].sequence_number), (2, 9));
        assert_eq!(
            Compound::read(&out).last(),
            Some(Rtcp::Fir { ssrc: 2, number: 9 })
        );
    }

    #[test]
    fn canonical_names_of_every_length_end_in_a_zero_byte() {
        for len in 0..64 {
            let name = "x".repeat(len);
            let mut out = Vec::new();
            write_source_description(&mut out, 1, &name);
            let packets = parsed_elsewhere(&out);
            let read = packets[0]
                .as_any()
                .downcast_ref::<SourceDescription>()
                .unwrap();
            assert_eq!(read.chunks[0].items[0].text.as_ref(), name.as_bytes());
            assert_eq!(out.last(), Some(&0));
        }
    }

    proptest! {
        #[test]
        fn every_missing_number_is_named_once(first in any::<u16>(), gaps in proptest::collection::vec(1_u16..40, 1..60)) {
            let mut seqs = vec![first];
            for gap in gaps {
                seqs.push(seqs.last().unwrap().wrapping_add(gap));
            }
            let mut out = Vec::new();
            write_nack(&mut out, 1, 2, &seqs);
            let Some(Rtcp::Nack { ssrc: 2, pairs }) = Compound::read(&out).next() else {
                panic!("no nack");
            };
            prop_assert_eq!(missing(pairs).collect::<Vec<_>>(), seqs);
        }

        #[test]
        fn no_compound_makes_the_reader_panic_or_spin(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Compound::read(&bytes).count() <= bytes.len());
        }
    }
}
