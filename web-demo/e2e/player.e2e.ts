/** What viewers do with the picture, by keys and buttons, and what they see when the show is over. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { received, statuses } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isTold, openStudio, prepareCamera, signIn, stop, watch } from './visitors.js';

/** Longer than the client library waits for frames before it repairs. */
const HELD_MS = 10_000;

let server: Server;
let chromium: Browser<ChromiumTab>;
let firefox: Browser;
let host: ChromiumTab;
let viewer: ChromiumTab;
let foreign: Tab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  [host, viewer, foreign] = await Promise.all([chromium.visit('the host'), chromium.visit('the viewer'), firefox.visit('the Firefox viewer')]);
  roomId = await openStudio(host, server.url, 'Ann', 'Tea from one mountain');
  await prepareCamera(host);
  await goLive(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('a list of the keys opens and closes by its own', async () => {
  showLogOnFailure();
  await watch(viewer, server.url, roomId);
  await viewer.press('?');
  const listed = () => viewer.look(() => Array.from(document.querySelectorAll('[data-test=keys]:modal kbd'), (key) => key.textContent));
  await until('the list is there', listed, (keys) => ['Space', 'm', 'f', 't', 'c', '?'].every((key) => keys.includes(key)));
  await viewer.press('m');
  expect((await viewer.look(received)).muted).toBe(true);
  await viewer.press('?');
  await until('it is gone', listed, (keys) => keys.length === 0);
});

test('the space bar holds the picture, and goes on with what is live', async () => {
  showLogOnFailure();
  await isTold(viewer, 'playing');
  await viewer.press(' ');
  await until('it is held', () => viewer.look(paused), (held) => held);
  const { frames: decoded } = await viewer.look(received);
  await frames(viewer, decoded + 30);
  await viewer.press(' ');
  await goesOn(viewer);
});

test.each(['Chromium', 'Firefox'])('a picture that is held for long is not taken for one that stands still in %s', async (name) => {
  showLogOnFailure();
  const visitor = name === 'Firefox' ? foreign : viewer;
  if (name === 'Firefox') await watch(visitor, server.url, roomId);
  await frames(visitor, 30);
  const before = (await visitor.look(statuses)).length;
  await visitor.click('[data-test=hold]');
  await until('it is held', () => visitor.look(paused), (held) => held);
  await new Promise((resolve) => setTimeout(resolve, HELD_MS));
  expect((await visitor.look(statuses)).slice(before)).toEqual([]);
  await visitor.click('[data-test=unmute]');
  await goesOn(visitor);
});

test('keys for the sound and the whole screen', async () => {
  showLogOnFailure();
  const full = () => viewer.look(() => document.fullscreenElement !== null);
  await viewer.press('m');
  await until('it is loud', () => viewer.look(received), ({ muted }) => !muted);
  await viewer.press('m');
  await until('it is silent', () => viewer.look(received), ({ muted }) => muted);
  await viewer.press('f');
  await until('it fills the screen', full, (now) => now);
  await viewer.press('f');
  await until('it does no more', full, (now) => !now);
});

test('the wide picture takes all the room beside the chat, and does so at the next visit', async () => {
  showLogOnFailure();
  const { share: before } = await viewer.look(stage);
  const isWide = ({ share, edges, chatInSight }: Stage) => share > 1.2 * before && edges && chatInSight;
  await viewer.press('t');
  await until('it is wide', () => viewer.look(stage), isWide);
  await watch(viewer, server.url, roomId);
  await until('it still is', () => viewer.look(stage), isWide);
  await viewer.click('[data-test=theatre]');
  await until('it is as before', () => viewer.look(stage), ({ share, edges }) => share === before && !edges);
});

test('a key leads to the chat, where keys write', async () => {
  showLogOnFailure();
  const focused = () => viewer.look(() => (document.activeElement as HTMLElement | null)?.dataset['test'] ?? '');
  await viewer.press('c');
  await until('a guest is led to the sign-in', focused, (name) => name === 'chat-sign-in');
  await signIn(viewer, 'Bob');
  await viewer.click('[data-test=side-questions]');
  await viewer.press('c');
  await until('the field has the focus', focused, (name) => name === 'chat-draft');
  for (const key of ['m', ' ', 'f', 't', '?']) await viewer.press(key);
  const seen = await viewer.look(() => ({
    draft: document.querySelector<HTMLInputElement>('[data-test=chat-draft]')?.value, dialogs: document.querySelectorAll('dialog:modal').length, full: document.fullscreenElement !== null,
  }));
  expect(seen).toEqual({ draft: 'm ft?', dialogs: 0, full: false });
  expect(await viewer.look(paused)).toBe(false);
  expect((await viewer.look(received)).muted).toBe(true);
  expect((await viewer.look(stage)).edges).toBe(false);
});

test('the browser is told what is on, and its keys for media hold it and go on', async () => {
  showLogOnFailure();
  const told = () => viewer.look(() => ({
    title: navigator.mediaSession.metadata?.title, artist: navigator.mediaSession.metadata?.artist, artwork: navigator.mediaSession.metadata?.artwork.length,
    state: navigator.mediaSession.playbackState,
  }));
  const press = (key: string) => viewer.look((name) => window.kliegMediaKeys[name]?.({ action: name as MediaSessionAction }), key);
  await until('it is told', told, ({ state }) => state === 'playing');
  expect(await told()).toEqual({ title: 'Tea from one mountain', artist: 'Ann', artwork: 1, state: 'playing' });
  for (const key of ['pause', 'stop']) {
    await press(key);
    await until('it is held', () => viewer.look(paused), (held) => held);
    expect((await told()).state).toBe('paused');
    await press('play');
    await goesOn(viewer);
  }
});

test('the picture floats in a window of its own and returns', async () => {
  showLogOnFailure();
  const floating = () => viewer.look(() => document.pictureInPictureElement !== null);
  await viewer.click('[data-test=floating]');
  await until('it floats', floating, (now) => now);
  await viewer.click('[data-test=floating]');
  await until('it is back', floating, (now) => !now);
});

test('when the show is over its viewers read what it came to, and where to go next', async () => {
  showLogOnFailure();
  const later = await createRoom({ title: 'Tea, the second evening', category: 'tea', scheduledAt: new Date(Date.now() + 7_200_000).toISOString() });
  await stop(host);
  await isTold(viewer, 'ended');
  const card = () => viewer.look(() => ({
    duration: document.querySelector('[data-test=end-duration]')?.textContent ?? '', peak: Number(document.querySelector('[data-test=end-peak]')?.textContent ?? 0),
    next: Array.from(document.querySelectorAll('[data-test=next-room]'), (room) => room.textContent),
  }));
  const { duration, peak, next } = await until('the card is there', card, (seen) => seen.peak > 0 && seen.next.length > 0);
  expect(duration).toMatch(/min|s$/);
  // Who signed in or came again was there twice for a moment.
  expect(peak).toBeGreaterThanOrEqual(2);
  // The room that is there in every server for development waits for its host.
  expect(next).toEqual([expect.stringMatching(/Tea, the second evening.*Ann.*Begins in (1:59|2:00):/s), expect.stringMatching(/Demo.*Waiting for the host/s)]);
  await viewer.open(`${server.url}/r/${roomId}`);
  await until('it is there for who comes now', card, (seen) => seen.peak === peak && seen.duration === duration);
  await viewer.click('[data-test=next-room]');
  await until('the other room is there', () => viewer.look(() => location.pathname), (path) => path === `/r/${later}`);
  await until('it says when it begins', () => viewer.look(() => document.querySelector('[data-test=begins]')?.textContent ?? ''), (words) => /^Begins in (1:59|2:00):/.test(words));
});

test('who comes when a show is over reads so', async () => {
  showLogOnFailure();
  const past = await createRoom({ title: 'Tea, the first evening' }, '?start=true');
  const { token } = await signInAsAnn();
  const ended = await fetch(`${server.url}/api/v1/rooms/${past}/end`, { method: 'POST', headers: { authorization: `Bearer ${token}` } });
  expect(ended.ok).toBe(true);
  await viewer.open(`${server.url}/r/${past}`);
  await isTold(viewer, 'ended');
  await until('the card is there', () => viewer.look(() => document.querySelector('[data-test=end-duration]')?.textContent), (words) => words === '0 s');
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, viewer, foreign]) expect(errors, name).toEqual([]);
});

function paused(): boolean {
  return document.querySelector<HTMLVideoElement>('[data-test=video]')?.paused ?? false;
}

/** How much of the page's width the picture takes. */
type Stage = ReturnType<typeof stage>;

/** Of the page, how much the picture takes, whether it reaches its edge, and whether the place to write in is to be seen. */
function stage() {
  const { clientWidth, clientHeight } = document.documentElement;
  const box = (selector: string) => document.querySelector(selector)?.getBoundingClientRect() ?? new DOMRect();
  const { left, width, height } = box('[data-test=stage]');
  const writing = box('[data-test=chat-draft], [data-test=chat-sign-in]');
  return { share: width * height / clientWidth / clientHeight, edges: left === 0, chatInSight: writing.height > 0 && writing.bottom <= clientHeight };
}

/** Waits until the picture plays again, and without having been repaired. */
async function goesOn(visitor: Tab): Promise<void> {
  const { played } = await visitor.look(received);
  await until(`${visitor.name} goes on`, () => visitor.look(received), (seen) => seen.played > played && seen.status === 'playing');
  expect(await visitor.look(paused)).toBe(false);
}

async function signInAsAnn(): Promise<{ token: string }> {
  const answer = await fetch(`${server.url}/api/v1/auth/login`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'Ann' }),
  });
  const { accessToken } = await answer.json() as { accessToken: string };
  return { token: accessToken };
}

/** Makes a room of the host; returns its id. */
async function createRoom(room: object, query = ''): Promise<string> {
  const { token } = await signInAsAnn();
  const answer = await fetch(`${server.url}/api/v1/rooms${query}`, {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify(room),
  });
  expect(answer.ok, `${answer.status}`).toBe(true);
  const { id } = await answer.json() as { id: string };
  return id;
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, viewer, foreign]) if (errors.length > 0) console.log(name, errors);
  });
}
