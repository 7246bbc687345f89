/** What a host reads of the audience: from pictures that were really decoded, over a crash of the server. */

import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { figure, figures, overflow, statuses } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, isLive, isTold, openStudio, prepareCamera, stop, watch } from './visitors.js';

/** Roll-ups are written every 15 s, and the page asks as often. */
const WRITTEN_WITHIN_MS = 60_000;
const DOWN_MS = 1_000;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let page: Tab;
let viewers: Tab[];
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  roomId = await openStudio(host, server.url, 'Ann', 'Numbers');
  await prepareCamera(host);
  page = await host.again('the audience page');
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('before anybody watches the page says so, and to others that it is not theirs', async () => {
  await page.open(`${server.url}/analytics/${roomId}`);
  await until('the page is empty', () => page.look(figure, 'empty'), (text) => text === 'Nobody has watched yet');
  const [stranger] = viewers as [Tab];
  await stranger.open(`${server.url}/analytics/${roomId}`);
  await until('a stranger is asked to sign in', () => stranger.look(() => document.body.innerText), (text) => text.includes('Sign in to see the audience'));
});

test('who decodes a picture is counted at once, and who only waits is not', async () => {
  onTestFailed(() => console.log(server.log()));
  await goLive(host);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await until('both watch', () => page.look(figure, 'watching'), (text) => text === '2', WRITTEN_WITHIN_MS);
  expect(await page.look(figure, 'unique')).toBe('2');
  await until('the delay was reported', () => page.look(() => document.body.innerText), (text) => /\b2 reports?\b|\b[1-9]\d* reports\b/.test(text), WRITTEN_WITHIN_MS);
  expect(page.errors).toEqual([]);
});

test('it is read on a phone, in the dark and with a keyboard', async () => {
  for (const [width, height] of [[360, 740], [1280, 900]] as const) {
    await page.resize(width, height);
    await until(`nothing sticks out at ${width}`, () => page.look(overflow), (pixels) => pixels <= 0);
    const directory = process.env['E2E_PICTURES'];
    if (directory !== undefined) await writeFile(`${directory}/analytics-${width}.png`, await page.picture());
  }
  await page.click('[data-test=measure-visits]');
  expect(await page.look(figures)).toContain('Visits');
});

test('a crash of the server takes no viewer out of the figures, nor puts one in twice', async () => {
  onTestFailed(() => console.log(server.log()));
  const before = await Promise.all(viewers.map(async (viewer) => (await viewer.look(statuses)).length));
  await server.crash(DOWN_MS);
  // They may be back before anybody looks.
  await Promise.all(viewers.map((viewer, index) =>
    until(`${viewer.name} was told “reconnecting”`, () => viewer.look(statuses), (told) => told.slice(before[index]).includes('reconnecting'))));
  await isLive(host);
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'playing')));
  await until('both watch again', () => page.look(figure, 'watching'), (text) => text === '2', WRITTEN_WITHIN_MS);
  expect(await page.look(figure, 'unique')).toBe('2');
  await stop(host);
  await until('nobody watches', () => page.look(figure, 'watching'), (text) => text === '0', WRITTEN_WITHIN_MS);
  expect(await page.look(figure, 'unique')).toBe('2');
  expect(await page.look(figure, 'peak')).toBe('2');
});
