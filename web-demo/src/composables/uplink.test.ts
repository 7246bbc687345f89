import { expect, test } from 'vitest';
import { carried, wayOf } from './uplink.js';
import { QUALITIES } from './useDevices.js';

test('a way to the server is judged by its round trips', () => {
  expect(wayOf([])).toBeUndefined();
  expect(wayOf([24, 21, 30, 22, 25, 21, 23, 28])).toEqual({ reach: 'near', roundTripMs: 21 });
  expect(wayOf([180, 170, 175, 190])).toEqual({ reach: 'far', roundTripMs: 170 });
  expect(wayOf([420, 400, 410, 405])?.reach).toBe('distant');
  expect(wayOf([20, 300, 25, 280, 22, 350, 24, 26])?.reach).toBe('unsteady');
  expect(wayOf([20, 21, 22, 20, 900, 23, 22, 21])?.reach, 'once is nothing').toBe('near');
});

test('a quality fits with its sound and its smaller sizes, or the next one below does', () => {
  expect(carried(10_000_000, QUALITIES)?.name).toBe('1080p');
  expect(carried(2_800_000, QUALITIES)?.name).toBe('480p');
  expect(carried(4_000_000, QUALITIES)?.name).toBe('480p');
  expect(carried(4_250_000, QUALITIES)?.name).toBe('720p');
  expect(carried(500_000, QUALITIES)).toBeUndefined();
});
