import { expect, test } from 'vitest';
import { backoff } from '../src/backoff.js';

test('a server that was away for long is looked for every few seconds', () => {
  expect([0, 1, 2, 3, 4, 100].map((attempt) => backoff(attempt, () => 1))).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
  expect(backoff(100, () => 0)).toBe(2500);
});
