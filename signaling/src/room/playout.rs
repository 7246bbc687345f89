//! How long viewers let pictures wait before they show them: the room's wish, told to the forwarding unit, which tells
//! the players that negotiated it.

use klieg_sfu::{Command, PlayoutDelay};

use crate::id::SocketId;

use super::task::Room;

/// Where nothing is to wait, players may still let pictures wait so long for what was lost, in milliseconds; up to here
/// Chromium shows them as soon as they are whole.
const LONGEST_IN_CONVERSATION_MS: u16 = 500;
/// What players allow themselves anyway, in milliseconds.
const LONGEST_MS: u16 = 10_000;

impl Room {
    /// Tells every viewer's player what the room wishes now.
    pub(super) fn apply_playout_delays(&mut self) {
        let sockets: Vec<_> = self.viewers.values().copied().collect();
        for socket in sockets {
            self.apply_playout_delay(socket);
        }
    }

    /// Tells a viewer's player what the room wishes, where it has not been told.
    pub(super) fn apply_playout_delay(&mut self, socket: SocketId) {
        let delay = playout_delay(self.record.playout_delay_ms);
        let Some(viewing) = self.viewing(socket).filter(|it| it.delay != delay) else {
            return;
        };
        let command = Command::SetPlayoutDelay(viewing.session.peer, delay);
        // A shard that is too busy is told with the next report about the layers.
        if self.context.media.carry_out(vec![command]).is_ok()
            && let Some(viewing) = self.viewing(socket)
        {
            viewing.delay = delay;
        }
    }
}

fn playout_delay(wish_ms: Option<u16>) -> PlayoutDelay {
    match wish_ms {
        None => PlayoutDelay::AUTOMATIC,
        Some(0) => PlayoutDelay::new(0, LONGEST_IN_CONVERSATION_MS),
        Some(millis) => PlayoutDelay::new(millis, LONGEST_MS),
    }
}
