import type { RoomInfo } from '@klieg/client';
import { beforeAll, expect, test, vi } from 'vitest';
import { nameOf, slugOf } from '../category.js';
import { en } from '../messages/en.js';
import { clock } from '../messages/formats.js';
import { read, write } from './useFilters.js';
import { actOf } from './useKeys.js';

let bySoonest: typeof import('./useRooms.js').bySoonest;
let nextOf: typeof import('./useNext.js').nextOf;

beforeAll(async () => {
  vi.stubGlobal('location', { origin: 'http://127.0.0.1' });
  ({ bySoonest } = await import('./useRooms.js'));
  ({ nextOf } = await import('./useNext.js'));
});

test('filters are read as they were written', () => {
  for (const filters of [
    { show: 'live', q: '', category: '' }, { show: 'past', q: 'trà & bánh', category: 'home-garden' }, { show: 'upcoming', q: 'x', category: '' },
  ] as const) {
    const query = Object.fromEntries(new URLSearchParams(write(filters) as Record<string, string>));
    expect(read(query)).toEqual(filters);
  }
  expect(write({ show: 'live', q: '', category: '' })).toEqual({});
});

test('what an address cannot mean is as if it were not there', () => {
  expect(read({ show: 'never', category: 'Über', q: ['a', 'b'] })).toEqual({ show: 'live', q: 'a', category: '' });
  expect(read({ q: 'x'.repeat(500), category: null }).q).toHaveLength(120);
});

test('a category is one word to the server and a name to people', () => {
  expect(slugOf('  Trà & Bánh đậu ')).toBe('tra-banh-dau');
  expect(slugOf('茶')).toBe('');
  expect(slugOf('x'.repeat(39) + ' y')).toBe('x'.repeat(39));
  expect(nameOf('home-garden')).toBe('Home garden');
  expect(nameOf('-')).toBe('-');
});

test('rooms stand by when they begin', () => {
  const rooms = [room('undated'), room('late', 'scheduled', '2026-11-23T10:00:00Z'), room('ready', 'ready'), room('early', 'scheduled', '2026-11-22T10:00:00Z')];
  expect(bySoonest(rooms).map(({ id }) => id)).toEqual(['ready', 'early', 'late', 'undated']);
});

test('what is on comes before what is to come, and what is over not at all', () => {
  const rooms = [room('over', 'ended'), room('ready', 'ready'), room('late', 'scheduled', '2026-11-23T10:00:00Z'), room('lost', 'interrupted'), room('live', 'live')];
  expect(nextOf(rooms).map(({ id }) => id)).toEqual(['lost', 'live', 'late']);
});

test('the time that is left is written as clocks do, and a day before as a date', () => {
  expect([clock(0), clock(59_001), clock(245_000), clock(3_845_000)]).toEqual(['0:00', '1:00', '4:05', '1:04:05']);
  expect(en.begins(-1, new Date())).toBe('Begins any moment');
  expect(en.begins(61_000, new Date())).toBe('Begins in 1:01');
  expect(en.begins(90_000_000, new Date(2026, 10, 24, 19))).toMatch(/^Begins Nov 24, 7:00/);
});

test('keys do nothing where somebody writes, with another key, or for long', () => {
  const act = () => {};
  const keys = { ' ': act, m: act, '?': act };
  const press = (key: string, more: object = {}) => actOf({
    key, repeat: false, ctrlKey: false, metaKey: false, altKey: false, defaultPrevented: false, target: within(''), ...more,
  }, keys);
  expect([press('m'), press('M'), press('?'), press(' ')]).toEqual([act, act, act, act]);
  expect([press('x'), press('toString'), press('m', { ctrlKey: true }), press('m', { repeat: true })]).toEqual([undefined, undefined, undefined, undefined]);
  expect(press('m', { target: within('input') })).toBeUndefined();
  // A button that has the focus is pressed by the space bar.
  expect([press('m', { target: within('button') }), press(' ', { target: within('button') })]).toEqual([act, undefined]);
  // In a dialog that was just closed, nothing is pressed any more.
  expect([press(' ', { target: within('dialog', 'button') }), press(' ', { target: within('dialog', 'dialog:not([open])', 'button') })]).toEqual([undefined, act]);
});

function room(id: string, status: RoomInfo['status'] = 'scheduled', scheduledAt?: string): RoomInfo {
  return { id, title: id, status, visibility: 'public', owner: { id: 'a', name: 'Ann' }, allowGuestChat: false, ...scheduledAt !== undefined && { scheduledAt } };
}

/** An element that stands in one of a kind. */
function within(...kinds: string[]): unknown {
  return { closest: (selector: string) => selector.split(', ').some((one) => kinds.includes(one)) ? {} : null };
}
