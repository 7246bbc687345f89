/** Notices that the picture stands still, by frames decoded: ICE may well be connected meanwhile. */

const KEYFRAME_AFTER_MS = 1_500;
const RESTART_AFTER_MS = 3_000;
const RENEW_AFTER_MS = 8_000;
const LONGEST_RENEW_MS = 60_000;

/** What to do about a picture: nothing, ask for `rtc.keyframe` or `rtc.restart`, or begin a new session. */
export type Remedy = 'none' | 'keyframe' | 'restart' | 'renew';

/** Judges samples of one counter; takes the time as an argument. */
export class Watchdog {
  /** Counter at the last sample; a new session begins at 0 again. */
  #frames = 0;
  /** When the counter last rose or frames began to be expected; `undefined` while none are. */
  #since: number | undefined;
  /** What was said since. */
  #tried: Remedy = 'none';
  /** Renewals without a frame in between: each waits longer. */
  #renewals = 0;

  /** Whether frames are missing for long enough to say so. */
  get stalled(): boolean { return this.#tried !== 'none' || this.#renewals > 0; }

  /** Takes in the frames decoded until `now` (milliseconds) and whether any should have come. */
  sample(now: number, frames: number, expected: boolean): Remedy {
    const progress = frames !== this.#frames && frames > 0;
    this.#frames = frames;
    if (progress || !expected) {
      this.#tried = 'none';
      this.#renewals = 0;
      this.#since = expected ? now : undefined;
      return 'none';
    }
    this.#since ??= now;
    const waited = now - this.#since;
    if (waited >= Math.min(LONGEST_RENEW_MS, RENEW_AFTER_MS * 2 ** this.#renewals)) {
      this.#since = now;
      this.#tried = 'none';
      this.#renewals++;
      return 'renew';
    }
    if (waited >= RESTART_AFTER_MS && this.#tried !== 'restart') return this.#tried = 'restart';
    if (waited >= KEYFRAME_AFTER_MS && this.#tried === 'none') return this.#tried = 'keyframe';
    return 'none';
  }
}
