/** Minutes as a chart draws them. */

import type { AnalyticsMinute } from '@klieg/client';

/** What of a minute a chart may show. */
export type Measure = 'peakWatching' | 'visits' | 'messages' | 'reactions' | 'orders' | 'stalls';

export const MEASURES: readonly Measure[] = ['peakWatching', 'visits', 'messages', 'reactions', 'orders', 'stalls'];

const MINUTE_MS = 60_000;
/** More could not be told apart on a screen. */
const MAX_POINTS = 1440;

/** A value, and where it stands. */
export interface Point {
  at: number;
  value: number;
}

/** Returns from which minute on there is as much as a chart may show, of an event that was last written down at `end`. */
export function dayUntil(end: string): string {
  const last = Math.floor(Date.parse(end) / MINUTE_MS);
  return new Date((last - MAX_POINTS + 1) * MINUTE_MS).toISOString();
}

/** Returns a point for each minute from the first to the last; one in which nothing happened has none in `minutes`. */
export function pointsOf(minutes: readonly AnalyticsMinute[], measure: Measure): Point[] {
  const values = new Map(minutes.map((minute) => [Date.parse(minute.at), minute[measure]]));
  const [first, last] = [minutes[0], minutes.at(-1)].map((minute) => minute === undefined ? Number.NaN : Date.parse(minute.at));
  const points: Point[] = [];
  const from = Math.max(first!, last! - (MAX_POINTS - 1) * MINUTE_MS);
  for (let at = from; at <= last!; at += MINUTE_MS) points.push({ at, value: values.get(at) ?? 0 });
  return points;
}

/** Returns a round number no less than `value`: the top of a scale. */
export function ceiling(value: number): number {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 4, 5, 10].find((step) => step * power >= value)!;
}
