import type { AnalyticsMinute } from '@klieg/client';
import { expect, test } from 'vitest';
import { ceiling, dayUntil, pointsOf } from './series.js';

const minute = (at: string, peakWatching: number) => ({ at, peakWatching }) as AnalyticsMinute;

test('a minute in which nothing happened is a zero in the chart', () => {
  const points = pointsOf([minute('2026-11-22T03:00:00Z', 3), minute('2026-11-22T03:03:00Z', 5)], 'peakWatching');
  expect(points.map(({ value }) => value)).toEqual([3, 0, 0, 5]);
  expect(pointsOf([], 'visits')).toEqual([]);
});

test('of a very long event the last day is drawn', () => {
  expect(pointsOf([minute('2020-01-01T00:00:00Z', 1), minute('2026-11-22T03:00:00Z', 2)], 'peakWatching')).toHaveLength(1440);
});

test('minutes are asked for from a day before the last on', () => {
  expect(dayUntil('2026-11-22T03:00:59.999Z')).toBe('2026-11-21T03:01:00.000Z');
});

test('a scale ends at a round number', () => {
  expect([0, 3, 4, 5, 9, 10, 11, 47, 301, 999, 1000].map(ceiling)).toEqual([4, 4, 4, 5, 10, 10, 20, 50, 400, 1000, 1000]);
});
