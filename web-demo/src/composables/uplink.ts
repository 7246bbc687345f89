/** What a host can expect of their connection, before and during a show. */

import type { Quality } from './useDevices.js';

/** How soon host and viewers answer each other, as far as the host's way to the server goes. */
export type Reach = 'near' | 'far' | 'distant' | 'unsteady';

/** A way to the server, as it was measured. */
export interface Way {
  reach: Reach;
  /** The quickest round trip. */
  roundTripMs: number;
}

/** Below it, the way to the server is a small part of the 150 ms that nobody notices (ITU-T G.114). */
const NEAR_MS = 80;
/** Above it, talking is taking turns. */
const FAR_MS = 300;
/** By so much, one round trip in four is longer than the quickest: there is a queue, or a bad radio. */
const UNSTEADY_MS = 100;

/** Judges by round trips in milliseconds; `undefined` where there are none. */
export function wayOf(roundTrips: readonly number[]): Way | undefined {
  const sorted = roundTrips.toSorted((one, other) => one - other);
  const [quickest] = sorted;
  if (quickest === undefined) return undefined;
  const slow = sorted[Math.floor(sorted.length * 0.75)]!;
  const reach = slow - quickest > UNSTEADY_MS ? 'unsteady' : quickest > FAR_MS ? 'distant' : quickest > NEAR_MS ? 'far' : 'near';
  return { reach, roundTripMs: quickest };
}

/** Sound, and what packets add to the picture. */
const BESIDE_BPS = 150_000;
/** From so many lines on, the picture is sent in two smaller sizes too, which together take so much more (`encodings` of the client library). */
const LAYERED_LINES = 540;
const LAYERED = 1.45;

/** Returns what a connection has to carry for a quality, in bits a second. */
export function needed({ height, bitrateBps }: Quality): number {
  return bitrateBps * (height >= LAYERED_LINES ? LAYERED : 1) + BESIDE_BPS;
}

/** Returns the best that a connection carries, of qualities from the least to the best; `undefined` where it carries none. */
export function carried(availableBps: number, qualities: readonly Quality[]): Quality | undefined {
  return qualities.findLast((quality) => needed(quality) <= availableBps);
}
