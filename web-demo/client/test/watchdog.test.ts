import { expect, test } from 'vitest';
import { Watchdog } from '../src/watchdog.js';
import type { Remedy } from '../src/watchdog.js';

/** Samples every 500 ms without a new frame; returns when which remedy was asked for. */
function starve(watchdog: Watchdog, fromMs: number, toMs: number, frames: number): [number, Remedy][] {
  const remedies: [number, Remedy][] = [];
  for (let now = fromMs; now <= toMs; now += 500) {
    const remedy = watchdog.sample(now, frames, true);
    if (remedy !== 'none') remedies.push([now, remedy]);
  }
  return remedies;
}

test('a picture that moves needs nothing', () => {
  const watchdog = new Watchdog();
  for (let second = 0; second < 100; second++) {
    expect(watchdog.sample(second * 1000, second * 30 + 1, true)).toBe('none');
  }
  expect(watchdog.stalled).toBe(false);
});

test('a frozen picture gets a keyframe after 1.5 s, is restarted after 3 s and renewed after 8 s, then ever less often', () => {
  const watchdog = new Watchdog();
  watchdog.sample(0, 5, true);
  expect(starve(watchdog, 500, 60_000, 5)).toEqual([
    [1500, 'keyframe'], [3000, 'restart'], [8000, 'renew'],
    [9500, 'keyframe'], [11_000, 'restart'], [24_000, 'renew'],
    [25_500, 'keyframe'], [27_000, 'restart'], [56_000, 'renew'],
    [57_500, 'keyframe'], [59_000, 'restart'],
  ]);
  expect(watchdog.stalled).toBe(true);
});

test('one frame of a new session ends the alarm', () => {
  const watchdog = new Watchdog();
  watchdog.sample(0, 500, true);
  starve(watchdog, 500, 9000, 500);
  watchdog.sample(9500, 0, true);
  expect(watchdog.stalled).toBe(true);
  watchdog.sample(10_000, 1, true);
  expect(watchdog.stalled).toBe(false);
});

test('no frames are missed while none are expected', () => {
  const watchdog = new Watchdog();
  for (let now = 0; now < 100_000; now += 1000) expect(watchdog.sample(now, 7, false)).toBe('none');
  expect(starve(watchdog, 100_000, 101_000, 7)).toEqual([]);
  expect(starve(watchdog, 101_500, 101_500, 7)).toEqual([[101_500, 'keyframe']]);
});
