import { expect, test } from 'vitest';
import { listed } from './useTroubles.js';

test('reasons are listed with the most first, and those without words left out', () => {
  expect(listed({ token: 1, blocked: 3, moon_phase: 9, full: 0 })).toEqual([{ reason: 'blocked', viewers: 3 }, { reason: 'token', viewers: 1 }]);
  expect(listed({})).toEqual([]);
});
