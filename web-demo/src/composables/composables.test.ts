import { expect, test } from 'vitest';
import { hueOf } from '../hue.js';
import { en } from '../messages/en.js';
import { digits } from '../messages/formats.js';
import { vi } from '../messages/vi.js';
import { problemOf } from './useDevices.js';
import { loudness } from './useMicLevel.js';
import { pick } from './useReactions.js';

test('a flood of one reaction does not hide the others', () => {
  expect(pick({ '❤': 10_000, '👏': 1, '🔥': 2 }, 5)).toEqual(['❤', '👏', '🔥', '❤', '🔥']);
  expect(pick({ '❤': 2, '👏': 0 }, 8)).toEqual(['❤', '❤']);
  expect(pick({ '❤': 2 }, 0)).toEqual([]);
});

test('silence and full scale are the ends of the meter', () => {
  expect(loudness(new Float32Array(1024))).toBe(0);
  expect(loudness(new Float32Array(1024).fill(1))).toBe(1);
  const quiet = loudness(new Float32Array(1024).fill(0.03));
  expect(quiet).toBeGreaterThan(0.4);
  expect(quiet).toBeLessThan(0.6);
  expect(loudness([])).toBe(0);
});

test('what the browser refuses is told apart', () => {
  expect(problemOf({ name: 'NotAllowedError' })).toBe('denied');
  expect(problemOf({ name: 'NotFoundError' })).toBe('missing');
  expect(problemOf({ name: 'NotReadableError' })).toBe('busy');
  expect(problemOf(new Error('else'))).toBe('failed');
});

test('a room keeps its colour', () => {
  expect(hueOf('demo')).toBe(hueOf('demo'));
  expect(hueOf('demo')).not.toBe(hueOf('demp'));
});

test('numbers are worded for people', () => {
  expect(en.viewers(1)).toBe('1 viewer');
  expect(en.viewers(1234)).toBe('1.2K viewers');
  expect(en.chat.left(20)).toBe('20 left');
  expect(en.chat.left(-20)).toBe('20 too many');
  expect(en.lobby.startedAgo(0)).toBe('just started');
  expect(en.lobby.startedAgo(75)).toBe('for 1 h 15 min');
  expect(en.shop.price(1250, 'EUR')).toBe('€12.50');
  expect(en.shop.price(245_000, 'VND')).toBe('₫245,000');
  expect([digits('EUR'), digits('JPY'), digits('KWD')]).toEqual([2, 0, 3]);
  expect(en.shop.left(0)).toBe('Sold out');
  expect(en.studio.kbps(2_345_678)).toBe('2.3 Mb/s');
  expect(vi.viewers(1234)).toBe('1,2\u00a0N người xem');
  expect(vi.shop.price(245_000, 'VND')).toBe('245.000\u00a0₫');
});

test('no catalogue has an empty sentence, and each sentence is worded in its language', () => {
  const same = new Set<string>();
  const compare = (one: object, other: object, path: string) => {
    for (const [key, value] of Object.entries(one)) {
      const translated = (other as Record<string, unknown>)[key];
      if (typeof value === 'object') compare(value as object, translated as object, `${path}.${key}`);
      else if (typeof value === 'string') {
        expect(translated, `${path}.${key}`).not.toBe('');
        if (value === translated) same.add(`${path}.${key}`);
      }
    }
  };
  compare(en, vi, '');
  expect([...same].sort()).toEqual(['.encoder.key', '.name', '.studio.camera', '.studio.layouts.camera', '.studio.noValue']);
});
