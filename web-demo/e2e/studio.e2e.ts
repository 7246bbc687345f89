/** What a host is told and asked in the studio, and what viewers read for it. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { cameraTracks, chatEnd, chatOverlaps, haveBlur, notice, previewing, publishStatus, sentences, statusWords, statuses } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isLive, isTold, openStudio, prepareCamera, reads, stop, stopIsAnEnd } from './visitors.js';

/** Longer than two tabs that each return would need to take turns. */
const NO_TURNS_MS = 5_000;
/** The server takes five lines a second. */
const WRITE_EVERY_MS = 220;
/** As tall as several lines. */
const ACCENTS = `Z${'\u0300\u0336\u0489'.repeat(60)}`;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewers: Tab[];
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  roomId = await openStudio(host, server.url, 'Ann', 'Studio');
  await prepareCamera(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('the studio says who waits before the host goes live', async () => {
  expect(await host.look(notice)).toBe('');
  const place = await host.look(placeOfButton);
  await Promise.all(viewers.map((viewer) => viewer.open(`${server.url}/r/${roomId}`)));
  await until('the host is told', () => host.look(sentences), (words) => words.includes('2 viewers are waiting for you.'));
  expect(await host.look(placeOfButton), 'the button does not move away from under a finger').toEqual(place);
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'waiting')));
});

test('before the show the studio tests the way to the server, and in it says what that carries', async () => {
  await until('it was tested', () => host.look(reach), (found) => found !== '');
  await goLive(host);
  // The browser learns it by sending, and sends no more than it is to.
  await until('it carries what is sent', () => host.look(uplink), (words) => words.includes('good enough for 360p'), 60_000);
  await stop(host);
  await until('it is tested anew', () => host.look(reach), (found) => found !== '');
});

test('the blur of a camera is offered where a page can choose it, and stays chosen', async () => {
  const blur = () => host.look(() => document.querySelector<HTMLInputElement>('[data-test=blur]')?.checked);
  expect(await blur(), 'the camera of the tests has none').toBeUndefined();
  await host.look(haveBlur);
  await host.choose('#quality', '480p');
  await until('it is offered', blur, (on) => on === false);
  await host.click('[data-test=blur]');
  await until('it blurs', () => host.look(() => window.kliegBlurs), (calls) => calls === 1);
  expect(await blur()).toBe(true);
  await host.choose('#quality', '360p');
  await until('the camera that came next blurs', () => host.look(() => window.kliegBlurs), (calls) => calls === 2);
  expect(await blur()).toBe(true);
  await host.open(`${server.url}/studio/${roomId}`);
  await prepareCamera(host);
});

test('after Stop, viewers read that the show has ended', async () => {
  await goLive(host);
  expect(await host.look(notice)).toBe('');
  await Promise.all(viewers.map((viewer) => frames(viewer, 10)));
  await stopIsAnEnd(host, viewers);
  expect(await viewers[0]!.look(statusWords)).toBe('The show has ended');
  await goLive(host);
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'playing')));
});

test('two studios of one person do not take turns: the first one stops and says so', async () => {
  onTestFailed(() => console.log(server.log()));
  const second = await host.again('the second studio');
  await second.open(`${server.url}/studio/${roomId}`);
  await prepareCamera(second);
  expect(await second.look(notice)).toBe('elsewhere');
  await goLive(second);
  await until('the first studio stops', () => host.look(publishStatus), (status) => status === 'refused');
  const told = 'This room is live from another window, an encoder or somebody else now. This one has stopped.';
  const words = await host.look(sentences);
  expect(words.split(told), 'it is said once').toHaveLength(2);
  await new Promise((resolve) => setTimeout(resolve, NO_TURNS_MS));
  expect([await host.look(publishStatus), await second.look(publishStatus)]).toEqual(['refused', 'live']);
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'playing')));
  await stop(second);
  await second.close();
});

test('leaving the studio while live asks first', async () => {
  await goLive(host);
  await host.click('header a[href="/"]');
  await host.click('dialog[open] [data-test=confirm-no]');
  expect(await host.look(() => location.pathname)).toBe(`/studio/${roomId}`);
  await isLive(host);
  await host.click('header a[href="/"]');
  await host.click('dialog[open] [data-test=confirm-yes]');
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'ended', 20_000)));
  expect((await Promise.all(viewers.map((viewer) => viewer.look(statuses)))).map((told) => told.at(-2))).toEqual(['playing', 'playing']);
  await host.open(`${server.url}/studio/${roomId}`);
  await prepareCamera(host);
});

test('signing out while live asks first, and then ends the show', async () => {
  await goLive(host);
  await signOut(host);
  await host.click('dialog[open] [data-test=confirm-no]');
  await isLive(host);
  await signOut(host);
  await host.click('dialog[open] [data-test=confirm-yes]');
  await until('the host is signed out', () => host.look(() => document.querySelector('[data-test=sign-in]') !== null), Boolean);
  await until('the camera is let go', () => host.look(cameraTracks), (states) => !states.includes('live'));
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'ended')));
});

test('the chat keeps its end in sight when its height changes, and each line to itself', async () => {
  const [bob, cleo] = viewers as [Tab, Tab];
  const writer = await chromium.visit('the writer');
  await openStudio(writer, server.url, 'Dan', 'Chat');
  const chat = (await writer.look(() => location.pathname)).slice('/studio/'.length);
  await Promise.all([bob, cleo].map((viewer) => viewer.open(`${server.url}/r/${chat}`)));
  const lines = [...Array.from({ length: 7 }, (_, line) => `${line} ${'so long that it takes several rows '.repeat(8)}`), ACCENTS, 'the last line'];
  for (const line of lines) {
    await writer.enter('[data-test=chat-draft]', line);
    await reads(writer, line.trim());
    await new Promise((resolve) => setTimeout(resolve, WRITE_EVERY_MS));
  }
  for (const viewer of [bob, cleo]) {
    await reads(viewer, 'the last line');
    for (const [width, height] of [[390, 844], [390, 500], [390, 844], [1280, 800], [1280, 450]] as const) {
      await viewer.resize(width, height);
      await until(`${viewer.name} sees the last line at ${width}×${height}`, () => viewer.look(chatEnd), (hidden) => hidden < 2);
    }
    expect(await viewer.look(chatOverlaps)).toBe(0);
  }
});

test('however often a host in Firefox stops, it is an end and no loss', async () => {
  onTestFailed(() => console.log(server.log()));
  const foreign = await firefox.visit('the Firefox host');
  const room = await openStudio(foreign, server.url, 'Eve', 'From Firefox');
  await until('the camera is there', () => foreign.look(previewing), ({ ready }) => ready);
  const watching = viewers.slice(0, 1);
  await watching[0]!.open(`${server.url}/r/${room}`);
  for (let turn = 0; turn < 6; turn++) {
    await goLive(foreign);
    await Promise.all(watching.map((viewer) => isTold(viewer, 'playing')));
    await stopIsAnEnd(foreign, watching);
  }
});

function placeOfButton(): { left: number; top: number } | undefined {
  const place = document.querySelector('[data-test=go-live]')?.getBoundingClientRect();
  return place && { left: place.left, top: place.top };
}

function reach(): string {
  return document.querySelector<HTMLElement>('[data-test=network]')?.dataset['reach'] ?? '';
}

function uplink(): string {
  return document.querySelector<HTMLElement>('[data-test=uplink]')?.innerText ?? '';
}

async function signOut(host: Tab): Promise<void> {
  await host.click('[data-test=account]');
  await host.click('[data-test=sign-out]');
}
