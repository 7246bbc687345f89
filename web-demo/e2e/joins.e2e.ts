/**
 * Joins in Chromium and Firefox on this machine, from the request to the first frame, at whatever distance from the last keyframe. Short by default;
 * `E2E_JOINS=30 npm run e2e -- joins` is the whole of it, with 200 joins in Firefox of which none may be black.
 */

import { afterAll, afterEach, beforeAll, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { WATCHED_MS, joinFromCache, publishClock, sendsKeyframes, stopClock } from './joins.js';
import type { Summary } from './joins.js';
import { startServer } from './server.js';
import type { Server } from './server.js';

const GIVEN = process.env['E2E_JOINS'];
const JOINS = Number(GIVEN ?? 2);
const FIREFOX_JOINS = GIVEN === undefined ? 8 : 200;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
const told: (Summary & { browser: string; every: string })[] = [];

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  await host.open(server.url);
});

afterEach(() => host.look(stopClock));

afterAll(async () => {
  console.table(told);
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test.each([2, 10])('with a keyframe every %i s each join is shown the last one, and the publisher is asked for none', async (seconds) => {
  onTestFailed(() => console.log(server.log()));
  await publish(seconds);
  for (const [name, browser] of [['Chromium', chromium], ['Firefox', firefox]] as const) {
    await joins(name, browser, { seconds, count: JOINS, watchedMs: WATCHED_MS });
  }
}, 60_000 + 2 * JOINS * 10_000);

test('no join in Firefox is black', async () => {
  onTestFailed(() => console.log(server.log()));
  await publish(2);
  await joins('Firefox', firefox, { seconds: 2, count: FIREFOX_JOINS, watchedMs: 0 });
}, 60_000 + FIREFOX_JOINS * 7_000);

async function publish(seconds: number): Promise<void> {
  await host.look(publishClock, JSON.stringify({ room: 'demo', key: 'demo-key', seconds }));
  await sendsKeyframes(host, 2);
}

async function joins(name: string, browser: Browser, { seconds, count, watchedMs }: { seconds: number; count: number; watchedMs: number }): Promise<void> {
  const viewer = await browser.visit(`a viewer in ${name}`);
  await viewer.open(server.url);
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text();
  await joinFromCache([viewer, host], { room: 'demo', count, watchedMs }, metrics, (seen) => told.push({ browser: name, every: `${seconds} s`, ...seen }));
  await viewer.close();
}
