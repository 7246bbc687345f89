import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Timeline } from '../src/timeline.js';

beforeEach(() => { vi.useFakeTimers({ now: 0 }); });
afterEach(() => { vi.useRealTimers(); });

/** The server's clock is that of the page; the picture is so old. */
function delayed(ageMs: number | undefined) {
  const picture = { ageMs };
  const timeline = new Timeline(() => picture.ageMs === undefined ? undefined : Date.now() - picture.ageMs, () => Date.now());
  const done: string[] = [];
  const doing = (what: string) => () => { done.push(`${what} at ${Date.now()}`); };
  return { picture, timeline, done, doing };
}

test('what happens is done when its frame is shown, and not before', () => {
  const { timeline, done, doing } = delayed(1000);
  timeline.apply('products', 0, doing('tea'));
  vi.advanceTimersByTime(999);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(5000);
  expect(done).toEqual(['tea at 1000']);
  expect(vi.getTimerCount()).toBe(0);
});

test('what was shown already, has no time, or is looked at without a picture is done at once', () => {
  const { picture, timeline, done, doing } = delayed(1000);
  timeline.apply('products', -1000, doing('shown'));
  timeline.apply('poll', undefined, doing('undated'));
  picture.ageMs = undefined;
  timeline.apply('chat', 0, doing('blind'));
  expect(done).toEqual(['shown at 0', 'undated at 0', 'blind at 0']);
});

test('a picture that goes, or comes closer, takes along what waits for it', () => {
  const { picture, timeline, done, doing } = delayed(4000);
  timeline.apply('products', 0, doing('tea'));
  vi.advanceTimersByTime(1000);
  picture.ageMs = 1200;
  vi.advanceTimersByTime(1000);
  expect(done).toEqual(['tea at 1250']);
  timeline.apply('products', 2000, doing('coffee'));
  picture.ageMs = undefined;
  vi.advanceTimersByTime(250);
  expect(done[1]).toBe('coffee at 2250');
});

test('nothing waits for longer than ten seconds', () => {
  const { timeline, done, doing } = delayed(60_000);
  timeline.apply('poll', 0, doing('poll'));
  vi.advanceTimersByTime(9_999);
  expect(done).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(done).toEqual(['poll at 10000']);
});

test('no later one of a kind is done before an earlier one, and other kinds do not wait for it', () => {
  const { timeline, done, doing } = delayed(1000);
  timeline.apply('products', 0, doing('list'));
  timeline.apply('products', -2000, doing('older'));
  timeline.apply('products', undefined, doing('sold'));
  timeline.apply('poll', undefined, doing('poll'));
  expect(done).toEqual(['poll at 0']);
  vi.advanceTimersByTime(1000);
  expect(done.slice(1)).toEqual(['list at 1000', 'older at 1000', 'sold at 1000']);
});

test('what is dropped is never done, and what waits behind it is', () => {
  const { timeline, done, doing } = delayed(1000);
  timeline.apply('chat', 0, doing('rude'), 'm1');
  timeline.apply('chat', 0, doing('kind'), 'm2');
  expect([timeline.drop('chat', 'm1'), timeline.drop('chat', 'm1'), timeline.drop('poll', 'm2')]).toEqual([true, false, false]);
  vi.advanceTimersByTime(1000);
  expect(done).toEqual(['kind at 1000']);
  timeline.apply('chat', 1000, doing('late'));
  timeline.clear();
  expect(vi.getTimerCount()).toBe(0);
});

test('what is done may tell of more, and end everything', () => {
  const { timeline, done, doing } = delayed(100);
  timeline.apply('chat', 0, () => {
    doing('first')();
    timeline.apply('poll', 50, doing('second'));
  });
  vi.advanceTimersByTime(10_000);
  expect(done).toEqual(['first at 100', 'second at 150']);
  expect(vi.getTimerCount()).toBe(0);
  timeline.apply('chat', Date.now(), () => timeline.clear());
  timeline.apply('chat', Date.now(), doing('never'));
  vi.advanceTimersByTime(10_000);
  expect(done).toHaveLength(2);
  expect(vi.getTimerCount()).toBe(0);
});

test('of very many that wait the oldest are done', () => {
  const { timeline, done, doing } = delayed(1000);
  for (let number = 0; number < 510; number++) timeline.apply('chat', 0, doing(String(number)));
  expect(done).toHaveLength(10);
  expect(done[9]).toBe('9 at 0');
});
