/** What is wrong with the settings of an encoder, judged by what arrives of it. */

import type { PublisherState, ViewerStats } from '@klieg/client';

/** What should be changed, for the catalogues to put into words. */
export type Finding =
  /** Only sound comes, or only a picture. */
  | 'noPicture' | 'noSound'
  /** This browser has no decoder for it, or that of many viewers has none. */
  | 'unplayable' | 'rareCodec'
  | 'keyframes' | 'frameRate' | 'bitrate' | 'stumbles';

/** What was seen of an encoder's picture since somebody looks. */
export interface Watched {
  /** The browser cannot play it. */
  unplayable: boolean;
  /** `undefined` until the first frame. */
  stats: ViewerStats | undefined;
  /** For how long frames have come, in milliseconds. */
  sinceMs: number;
  /** The longest time without a keyframe, in milliseconds; it grows until the next. */
  keyframeGapMs: number;
  /** How many sizes it sends. */
  layers: number;
}

/** Who comes waits for the next keyframe, unless the encoder sends one when asked. Half a second is for the clock of the samples. */
const KEYFRAME_WITHIN_MS = 4_500;
/** What moves less often is seen to jerk. */
const LEAST_FRAMES_PER_SECOND = 20;
/** Every viewer gets what is sent, where there is one size alone. */
const MOST_BITRATE_BPS = 6_000_000;
/** The first numbers are those of a beginning. */
const SETTLED_MS = 5_000;
/** One may be anybody's. */
const FREEZES = 2;
/** Older phones and computers, and Safari on most machines, have no decoder for it. */
const RARE_CODEC = 'av1';

/** Judges by what the server tells of the publisher, and by what was `watched`, where somebody looks; the gravest comes first. */
export function findingsOf({ audio, video, videoCodec }: PublisherState, watched: Watched | undefined): Finding[] {
  const stats = watched?.stats;
  const settled = stats !== undefined && watched !== undefined && watched.sinceMs >= SETTLED_MS;
  const found: [Finding, boolean][] = [
    ['noPicture', !video],
    ['unplayable', watched?.unplayable === true],
    ['noSound', !audio],
    ['rareCodec', videoCodec?.toLowerCase() === RARE_CODEC && watched?.unplayable !== true],
    ['keyframes', (watched?.keyframeGapMs ?? 0) > KEYFRAME_WITHIN_MS],
    ['bitrate', settled && watched.layers < 2 && (stats.bitrateBps ?? 0) > MOST_BITRATE_BPS],
    ['frameRate', settled && stats.framesPerSecond < LEAST_FRAMES_PER_SECOND],
    ['stumbles', settled && stats.freezes >= FREEZES],
  ];
  return found.filter(([, is]) => is).map(([finding]) => finding);
}

/** Measures the time between keyframes. */
export class KeyframeGaps {
  #count = 0;
  /** When the last one came; `undefined` before the first. */
  #at: number | undefined;
  #longestMs = 0;

  /** Takes in how many came by `now`, in milliseconds; returns the longest time without one. */
  sample(now: number, count: number): number {
    const gapMs = this.#at === undefined ? 0 : now - this.#at;
    this.#longestMs = Math.max(this.#longestMs, gapMs);
    if (count > this.#count) this.#at = now;
    this.#count = count;
    return this.#longestMs;
  }
}
