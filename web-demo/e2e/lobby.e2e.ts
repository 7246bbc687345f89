/** What visitors find in the lobby: what is on, what is to come and what was, by words and category, at addresses that can be passed on. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, openStudio, prepareCamera } from './visitors.js';

/** More than one page of a list. */
const MANY = 63;

let server: Server;
let chromium: Browser<ChromiumTab>;
let firefox: Browser;
let host: ChromiumTab;
let visitor: ChromiumTab;
let foreign: Tab;
let token: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  [host, visitor, foreign] = await Promise.all([chromium.visit('the host'), chromium.visit('the visitor'), firefox.visit('the Firefox visitor')]);
  ({ accessToken: token = '' } = await call('auth/login', { username: 'Cleo' }));
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('a host announces a show with its category, by the page', async () => {
  showLogOnFailure();
  await host.open(`${server.url}/`);
  await host.click('[data-test=create-room]');
  await host.enter('#sign-in-name', 'Ann');
  await host.fill('#create-category', '  Trà & Bánh ');
  const soon = await host.look(() => new Date(Date.now() + 5_400_000 - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 16));
  await host.fill('#create-begins', soon);
  await host.enter('#create-title', 'Oolong in the evening');
  await until('the host enters the studio', () => host.look(() => location.pathname), (path) => path.startsWith('/studio/'));
  await visitor.open(`${server.url}/?show=upcoming`);
  await until('it is announced', () => visitor.look(cards), (rooms) => rooms.some((room) => /Begins in 1:(30|29|28):\d\d.*Oolong in the evening.*Ann · Tra banh/s.test(room)));
});

test('each list has its own rooms, and what begins first comes first', async () => {
  showLogOnFailure();
  const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  await call('rooms', { title: 'Bonsai in spring', category: 'garden', scheduledAt: at(72) }, token);
  await call('rooms', { title: 'Moss and stone', category: 'garden', scheduledAt: at(1) }, token);
  const { id } = await call('rooms?start=true', { title: 'Roses in winter', category: 'garden' }, token);
  await call(`rooms/${id}/end`, {}, token);
  const singer = await chromium.visit('the singer');
  await openStudio(singer, server.url, 'Bob', 'Songs at night');
  await prepareCamera(singer);
  await goLive(singer);
  await visitor.open(`${server.url}/`);
  const live = await until('the show is on', () => visitor.look(cards), (rooms) => rooms[0]?.includes('Songs at night') ?? false);
  // Those to come stand below, and those that were nowhere.
  expect(live.map(titleOf)).toEqual(['Songs at night', 'Demo', 'Moss and stone', 'Oolong in the evening', 'Bonsai in spring']);
  await visitor.click('[data-test=show-upcoming]');
  const coming = await until('those to come', () => visitor.look(cards), (rooms) => rooms.length === 4);
  expect(coming.map(titleOf)).toEqual(['Demo', 'Moss and stone', 'Oolong in the evening', 'Bonsai in spring']);
  await visitor.click('[data-test=show-past]');
  const past = await until('those that were', () => visitor.look(cards), (rooms) => rooms[0]?.includes('Roses in winter') ?? false);
  expect(past).toHaveLength(1);
});

test.each(['Chromium', 'Firefox'])('words and category are in the address, which shows the same to others, in %s', async (name) => {
  showLogOnFailure();
  const seeker = name === 'Firefox' ? foreign : visitor;
  await seeker.open(`${server.url}/?show=upcoming`);
  await until('all are there', () => seeker.look(cards), (rooms) => rooms.length === 4);
  await seeker.click('[data-test=category-garden]');
  await until('those of the category', () => seeker.look(cards), (rooms) => rooms.length === 2);
  await seeker.fill('header [data-test=search]', 'moss');
  const found = await until('the one that matches', () => seeker.look(cards), (rooms) => rooms.length === 1);
  expect(found.map(titleOf)).toEqual(['Moss and stone']);
  const address = await until('the address says so', () => seeker.look(() => location.search), (search) => search === '?show=upcoming&q=moss&category=garden');
  const friend = await seeker.again('a friend');
  await friend.open(`${server.url}/${address}`);
  const same = await until('a friend sees the same', () => friend.look(cards), (rooms) => rooms.length === 1);
  expect(same.map(titleOf)).toEqual(['Moss and stone']);
  expect(await friend.look(() => document.querySelector<HTMLInputElement>('header [data-test=search]')?.value)).toBe('moss');
  await friend.close();
  await seeker.fill('header [data-test=search]', 'nothing of the kind');
  await until('nothing matches', () => seeker.look(() => document.querySelector('main h2')?.textContent ?? ''), (words) => words === 'No room matches “nothing of the kind · Garden”');
  await seeker.click('[data-test=clear]');
  await until('all are there again', () => seeker.look(cards), (rooms) => rooms.length === 4);
  expect(await seeker.look(() => location.search)).toBe('?show=upcoming');
  expect(await seeker.look(() => document.querySelector<HTMLInputElement>('header [data-test=search]')?.value)).toBe('');
});

test('the way back leads through the lists that were looked at', async () => {
  showLogOnFailure();
  await visitor.open(`${server.url}/`);
  await visitor.click('[data-test=show-past]');
  await until('the past', () => visitor.look(heading), (words) => words === 'Past shows');
  await visitor.look(() => history.back());
  await until('what is on', () => visitor.look(heading), (words) => words === 'Live now');
});

test('an address that was tampered with shows the lobby as it is', async () => {
  showLogOnFailure();
  await visitor.open(`${server.url}/?show=tomorrow&category=${encodeURIComponent('"><b>')}&q=&q=2`);
  await until('what is on', () => visitor.look(cards), (rooms) => rooms[0]?.includes('Songs at night') ?? false);
});

test('a long list comes in parts', async () => {
  showLogOnFailure();
  for (let number = 0; number < MANY; number++) await call('rooms', { title: `Evening ${number}`, category: 'many' }, token);
  await visitor.open(`${server.url}/?show=upcoming&category=many`);
  await until('the first are there', () => visitor.look(cards), (rooms) => rooms.length === 60);
  await visitor.click('[data-test=more]');
  await until('all are there', () => visitor.look(cards), (rooms) => rooms.length === MANY);
  await until('there is no more', () => visitor.look(() => document.querySelector('[data-test=more]') === null), Boolean);
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, visitor, foreign]) expect(errors, name).toEqual([]);
});

/** What the cards of the lobby say, in their order. */
function cards(): string[] {
  return Array.from(document.querySelectorAll('[data-test=room-card]'), (card) => card.textContent ?? '');
}

function heading(): string {
  return document.querySelector('h1')?.textContent ?? '';
}

/** The first of them is there in every server for development. */
const TITLES = ['Demo', 'Songs at night', 'Moss and stone', 'Oolong in the evening', 'Bonsai in spring', 'Roses in winter'];

function titleOf(card: string): string {
  return TITLES.find((title) => card.includes(title)) ?? card;
}

/** Calls the server as a program does. */
async function call(path: string, body: unknown, bearer?: string): Promise<Record<string, string>> {
  const headers = { 'content-type': 'application/json', ...bearer !== undefined && { authorization: `Bearer ${bearer}` } };
  const answer = await fetch(`${server.url}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(answer.ok, `${path}: ${answer.status}`).toBe(true);
  return await answer.json() as Record<string, string>;
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, visitor, foreign]) if (errors.length > 0) console.log(name, errors);
  });
}
