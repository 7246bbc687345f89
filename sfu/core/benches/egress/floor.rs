//! What it costs to copy, seal and send, and nothing else.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use klieg_sfu_core::rtp::packet::{HAS_EXTENSION, OutgoingHeader, TransportSequence};

use crate::clock::spent_ns;
use crate::sockets::Sockets;
use crate::{BURSTS, PAYLOAD_LEN};

/// A key for each viewer.
pub(crate) struct Floor {
    keys: Vec<LessSafeKey>,
    /// What each packet begins with: as many bytes as Klieg's have.
    header: Vec<u8>,
    run: Vec<u8>,
}

impl Floor {
    /// Makes the keys; `is_numbered` tells whether packets have transport-wide numbers.
    pub(crate) fn new(viewers: usize, is_numbered: bool) -> Self {
        let header = OutgoingHeader {
            marker: false,
            payload_type: 96,
            sequence_number: 0,
            timestamp: 0,
            ssrc: 1,
        };
        let mut header = header.to_bytes().to_vec();
        if is_numbered {
            let number = TransportSequence { id: 3, number: 0 };
            header[0] |= HAS_EXTENSION;
            header.extend_from_slice(&number.to_bytes());
        }
        Self {
            keys: (0..viewers).map(|_| key()).collect(),
            header,
            run: Vec::with_capacity(64 * 1024),
        }
    }

    /// Sends bursts to every viewer; returns nanoseconds a packet and viewer.
    pub(crate) fn pass(&mut self, packets: usize, sockets: &Sockets) -> f64 {
        let payload = vec![7; PAYLOAD_LEN];
        let mut counter = 0u64;
        let start = spent_ns();
        for _ in 0..BURSTS {
            for (viewer, key) in self.keys.iter().enumerate() {
                self.run.clear();
                for _ in 0..packets {
                    counter += 1;
                    let at = self.run.len();
                    self.run.extend_from_slice(&self.header);
                    self.run.extend_from_slice(&payload);
                    let (header, payload) = self.run[at..].split_at_mut(self.header.len());
                    let tag = key
                        .seal_in_place_separate_tag(nonce(counter), Aad::from(&*header), payload)
                        .unwrap();
                    self.run.extend_from_slice(tag.as_ref());
                }
                let size = self.run.len() / packets;
                sockets.send(viewer, &self.run, size);
            }
        }
        (spent_ns() - start) as f64 / (BURSTS * packets * self.keys.len()) as f64
    }
}

fn key() -> LessSafeKey {
    // What the simulation's peers agree on, as the browsers do.
    let algorithm = &AES_256_GCM;
    let bytes: [u8; 32] = rand::random();
    LessSafeKey::new(UnboundKey::new(algorithm, &bytes[..algorithm.key_len()]).unwrap())
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
