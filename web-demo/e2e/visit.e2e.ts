/** What a visitor of a room does while it is live, and reads when the server is away. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { VIEWPORT, launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { chatLines, chatNote, coverOfWords, draft, language, longestGapMs, packing, received, sentences, statuses, viewerCount, watchGaps } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, reads, signIn, watch } from './visitors.js';

/** Long enough to be seen by a test, short enough not to wait for. */
const DOWN_MS = 6_000;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewer: Tab;
let foreign: Tab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewer = await chromium.visit('the viewer');
  foreign = await firefox.visit('the Firefox viewer');
  roomId = await openStudio(host, server.url, 'Ann', 'My first show with friends');
  await prepareCamera(host);
  await goLive(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test.each(['Chromium', 'Firefox'])('the pages come packed in %s', async (name) => {
  const visitor = name === 'Firefox' ? foreign : viewer;
  await visitor.open(`${server.url}/`);
  expect(await visitor.look(packing)).toBeLessThan(0.5);
});

test('a visitor who chooses Vietnamese reads every page so, and the browser is told', async () => {
  const visitor = await chromium.visit('a visitor from Huế');
  await visitor.open(`${server.url}/`);
  expect(await visitor.look(language)).toEqual({ tag: 'en', heading: 'Live now' });
  await visitor.choose('[data-test=language]', 'vi');
  // While a page is exchanged for another there is none to look at.
  await until('the lobby speaks Vietnamese', () => visitor.look(language).catch(() => undefined), (seen) => seen?.tag === 'vi' && seen.heading === 'Đang trực tiếp');
  await visitor.open(`${server.url}/r/nowhere`);
  await until('so does a room', () => visitor.look(language), ({ heading }) => heading === 'Phòng này không tồn tại, hoặc không mở cho bạn');
  await visitor.close();
});

test.each(['Chromium', 'Firefox'])('signing in to chat does not interrupt the picture in %s', async (name) => {
  onTestFailed(() => console.log(server.log()));
  const [visitor, count] = name === 'Firefox' ? [foreign, 2] : [viewer, 1];
  await watch(visitor, server.url, roomId);
  await frames(visitor, 60);
  await until('the count is there', () => visitor.look(viewerCount), (counted) => counted === count);
  await visitor.look(watchGaps);
  const before = (await visitor.look(statuses)).length;
  await signIn(visitor, 'Bob');
  await until('the new session is shown', () => visitor.look(received), (seen) => seen.peers === 2 && seen.frames > 60);
  await until('the viewer is counted once again', () => visitor.look(viewerCount), (counted) => counted === count);
  expect((await visitor.look(statuses)).slice(before)).toEqual([]);
  // How long depends on the machine: printed. That the picture goes on is what its status says.
  const gap = await visitor.look(longestGapMs);
  console.log(`the picture stood still for ${Math.round(gap)} ms at most`);
});

test('lines typed in a hurry arrive once each, in order', async () => {
  const lines = Array.from({ length: 12 }, (_, index) => `m${index}`);
  await viewer.type('[data-test=chat-draft]', lines);
  await reads(host, 'm11');
  const arrived = (await host.look(chatLines)).map((line) => /m\d.*$/.exec(line)?.[0]);
  expect(arrived).toEqual(lines);
  expect(await viewer.look(draft)).toBe('');
  await until('nothing is on its way', () => viewer.look(chatNote), (note) => note === '');
});

test('a visitor who comes while the camera is off reads so, whatever the screen', async () => {
  await host.click('[data-test=toggle-camera]');
  const fresh = await chromium.visit('a fresh viewer');
  await fresh.resize(360, 740);
  await fresh.open(`${server.url}/r/${roomId}`);
  for (const [width, height] of [[360, 740], [740, 360], [820, 1180], [1280, 800]] as const) {
    await fresh.resize(width, height);
    const words = /The host’s camera is off[^]*Tap to unmute/;
    await until(`the words are there at ${width}×${height}`, () => fresh.look(sentences), (seen) => words.test(seen));
    await until(`nothing covers the words at ${width}×${height}`, () => fresh.look(coverOfWords), (cover) => cover === '');
  }
  await fresh.click('[data-test=unmute]');
  await until('it is loud', () => fresh.look(received), ({ muted }) => !muted);
  await fresh.close();
  await host.click('[data-test=toggle-camera]');
});

test('on a phone, a host who is live reads the title and the chat', async () => {
  await host.resize(360, 740);
  const hidden = await host.look(() => {
    const title = document.querySelector('h1')!;
    const field = document.querySelector('[data-test=chat-draft]')!.getBoundingClientRect();
    const list = document.querySelector('[data-test=chat-list]')!.getBoundingClientRect();
    return { title: Math.max(title.scrollWidth - title.clientWidth, title.scrollHeight - title.clientHeight), field: Math.max(0, field.bottom - innerHeight), list: Math.max(0, 120 - list.height), sideways: document.documentElement.scrollWidth - innerWidth };
  });
  expect(hidden).toEqual({ title: 0, field: 0, list: 0, sideways: 0 });
  await host.click('[data-test=tab-settings]');
  await until('the settings are there', () => host.look(() => document.querySelector('#camera')!.getBoundingClientRect().height > 0), Boolean);
  await host.resize(VIEWPORT.width, VIEWPORT.height);
});

test('while the server is away, the lobby says that its list is old, a line of the chat waits, and a new window says why it is empty', async () => {
  onTestFailed(() => console.log(server.log()));
  const lobby = await chromium.visit('a visitor of the lobby');
  await lobby.open(server.url);
  await until('the list is there', () => lobby.look(sentences), (words) => words.includes('My first show'));
  await until('the page for being offline is kept', () => lobby.look(() => navigator.serviceWorker.ready.then(() => navigator.serviceWorker.controller !== null)), Boolean);
  const back = server.crash(DOWN_MS);
  const late = await lobby.again('the same visitor, in another window');
  await late.open(server.url);
  expect(await late.look(language)).toEqual({ tag: 'en', heading: 'Klieg cannot be reached' });
  await until('the viewer notices', () => viewer.look(received), ({ status }) => status === 'reconnecting');
  await viewer.enter('[data-test=chat-draft]', 'are you there?');
  expect(await viewer.look(chatNote)).toBe('The connection was lost. Your message goes out when it is back.');
  await until('the lobby says so', () => lobby.look(sentences), (words) => words.includes('This list may be out of date'), 5_500);
  expect(await lobby.look(sentences)).toContain('My first show');
  await back;
  const lines = await reads(viewer, 'are you there?');
  expect(lines.filter((line) => line.includes('are you there?'))).toHaveLength(1);
  await until('the viewer reads nothing more of it', () => viewer.look(chatNote), (note) => note === '');
  await late.click('a');
  await until('the window is there', () => late.look(language).catch(() => undefined), (seen) => seen?.heading === 'Live now');
  await until('the lobby is fresh', () => lobby.look(sentences), (words) => !words.includes('out of date'), 10_000);
});
