/** Waiting times between attempts: doubling, with jitter, so that a crowd does not return as one. */

const FIRST_MS = 500;
/** As long as people wait for a picture; the first return of a crowd is no denser for it. */
const LONGEST_MS = 5_000;

/** Returns the wait before attempt number `attempt` (0 is the first repetition), in milliseconds. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return ceiling * (0.5 + random() / 2);
}
