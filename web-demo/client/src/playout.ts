/** Chooses how long frames wait before they are shown: on a lossy path, until what was lost has come again. */

/** The window over which loss is judged. */
const WINDOW_MS = 5_000;
/** Fewer packets than this say nothing about loss. */
const ENOUGH_PACKETS = 50;
/** How long a wait is kept for a path that has become better. */
const KEEP_MS = 30_000;
/** Until a gap is noticed, and between two packets of a frame. */
const NOTICE_MS = 60;
/** Neither browsers nor the server send a packet again sooner than after this, however short the path. */
const LEAST_ROUND_MS = 100;
/** What is worth waiting for; more would be felt in a conversation. */
export const LONGEST_WAIT_MS = 500;
/** Over a longer way it is one round: with less, every loss would be a hole. Nobody converses there anyway. */
const LONGEST_ROUND_MS = 1000;

/** What a browser has counted of a picture's packets. */
export interface Repairs {
  /** Packets that came, repeated ones included. */
  received: number;
  /** Those that came because they were asked for again. */
  repaired: number;
  roundTripMs: number | undefined;
}

/**
 * Judges samples of one session. Browsers would wait by themselves if they knew the round trip, which a receiver does
 * not (RFC 3611, section 4.4, is not negotiated); without, they drop frames of temporal layers that were repaired late.
 */
export class PlayoutDelay {
  #samples: { at: number; received: number; repaired: number }[] = [];
  #wait = 0;
  #waitedFor = 0;

  /** Takes in what was counted until `now` (milliseconds); returns the wait in milliseconds, 0 for the browser's own. */
  sample(now: number, { received, repaired, roundTripMs }: Repairs): number {
    this.#samples.push({ at: now, received, repaired });
    while (this.#samples[0]!.at < now - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    const packets = received - first.received;
    if (packets < ENOUGH_PACKETS || roundTripMs === undefined) return this.#wait;
    const wait = waitFor((repaired - first.repaired) / packets, roundTripMs);
    if (wait >= this.#wait || now - this.#waitedFor >= KEEP_MS) {
      this.#wait = wait;
      this.#waitedFor = now;
    }
    return this.#wait;
  }
}

/** As many rounds of asking again as leave few frames without all of their packets. */
function waitFor(loss: number, roundTripMs: number): number {
  const rounds = loss < 0.002 ? 0 : loss < 0.02 ? 1 : loss < 0.06 ? 2 : 3;
  if (rounds === 0) return 0;
  const round = Math.max(roundTripMs, LEAST_ROUND_MS);
  const longest = Math.max(LONGEST_WAIT_MS, Math.min(LONGEST_ROUND_MS, round + NOTICE_MS));
  return Math.min(longest, Math.round(rounds * round + NOTICE_MS));
}
