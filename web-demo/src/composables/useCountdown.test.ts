import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { effectScope } from 'vue';
import { useCountdown } from './useCountdown.js';

const begin = vi.fn();
let scope = effectScope();

beforeEach(() => {
  vi.useFakeTimers();
  begin.mockClear();
  scope = effectScope();
});
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});

const counting = () => scope.run(() => useCountdown(3, begin))!;

test('it begins at nought, once', () => {
  const { left, start } = counting();
  expect(left.value).toBeUndefined();
  start();
  const seen = [left.value];
  for (let second = 1; second <= 3; second++) {
    expect(begin).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    seen.push(left.value);
  }
  expect(seen).toEqual([3, 2, 1, undefined]);
  vi.advanceTimersByTime(10_000);
  expect(begin).toHaveBeenCalledTimes(1);
});

test('what is cancelled does not begin, and can be counted anew', () => {
  const { left, start, cancel } = counting();
  start();
  vi.advanceTimersByTime(2500);
  cancel();
  vi.advanceTimersByTime(10_000);
  expect(begin).not.toHaveBeenCalled();
  start();
  expect(left.value).toBe(3);
  vi.advanceTimersByTime(3000);
  expect(begin).toHaveBeenCalledTimes(1);
});

test('it begins at once where that is wanted, and not where nothing is counted', () => {
  const { start, finish } = counting();
  finish();
  expect(begin).not.toHaveBeenCalled();
  start();
  finish();
  vi.advanceTimersByTime(10_000);
  expect(begin).toHaveBeenCalledTimes(1);
});

test('nothing begins on a page that was left', () => {
  counting().start();
  scope.stop();
  vi.advanceTimersByTime(10_000);
  expect(begin).not.toHaveBeenCalled();
});
