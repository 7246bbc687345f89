import { expect, test } from 'vitest';
import { LONGEST_WAIT_MS, PlayoutDelay } from '../src/playout.js';

/** Samples every second, with 100 packets a second of which so many were repaired; returns the last wait. */
function watch(delay: PlayoutDelay, fromS: number, seconds: number, repairedPerS: number, roundTripMs?: number, counted = { received: 0, repaired: 0 }): number {
  let wait = 0;
  for (let second = fromS; second < fromS + seconds; second++) {
    counted.received += 100;
    counted.repaired += repairedPerS;
    wait = delay.sample(second * 1000, { ...counted, roundTripMs });
  }
  return wait;
}

test('a clean path has the browser decide', () => {
  expect(watch(new PlayoutDelay(), 0, 60, 0, 200)).toBe(0);
});

test.each([
  [1, 100, 160], [5, 100, 260], [10, 100, 360], [5, 20, 260], [10, 400, LONGEST_WAIT_MS], [10, 500, 560], [10, 3000, 1000],
])('with %i %% of packets repaired at %i ms, frames wait for %i ms', (percent, roundTripMs, wait) => {
  expect(watch(new PlayoutDelay(), 0, 10, percent, roundTripMs)).toBe(wait);
});

test('one bad second is not forgotten at once, and not kept for ever', () => {
  const delay = new PlayoutDelay();
  const counted = { received: 0, repaired: 0 };
  expect(watch(delay, 0, 5, 10, 100, counted)).toBe(360);
  expect(watch(delay, 5, 25, 0, 100, counted)).toBe(360);
  expect(watch(delay, 30, 20, 0, 100, counted)).toBe(0);
});

test('nothing is judged by few packets, or without a round trip', () => {
  expect(new PlayoutDelay().sample(1000, { received: 40, repaired: 20, roundTripMs: 50 })).toBe(0);
  expect(watch(new PlayoutDelay(), 0, 10, 10)).toBe(0);
});
