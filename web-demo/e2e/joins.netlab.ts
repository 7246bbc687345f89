/** A visitor's joins in Chromium at a round trip of 50 ms, from the request to the first frame. `E2E_JOINS=30` takes as many. Needs root. */

import { afterAll, afterEach, beforeAll, onTestFailed, test } from 'vitest';
import { launchChromium } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { WATCHED_MS, joinFromCache, publishClock, sendsKeyframes, stopClock } from './joins.js';
import type { Summary } from './joins.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { makeRoom } from './probe.js';
import { startServerAt } from './server.js';
import type { Server } from './server.js';

const JOINS = Number(process.env['E2E_JOINS'] ?? 5);
const METRICS_TOKEN = 'to-be-read-from-the-other-end-of-a-link';

let netlab: Netlab;
let server: Server;
let near: Browser;
let far: Browser;
let host: Tab;
let made: { room: string; key: string };
const told: (Summary & { every: string })[] = [];

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 25 }, { delay: 25 });
  server = await startServerAt({ namespace: netlab.server, host: netlab.host }, { KLIEG_NEW_ACCOUNT_ROLE: 'host', KLIEG_METRICS_TOKEN: METRICS_TOKEN });
  [near, far] = await Promise.all([netlab.server, netlab.visitor].map((namespace) => launchChromium({ namespace, origin: server.url }))) as [Browser<ChromiumTab>, Browser<ChromiumTab>];
  host = await near.visit('the host');
  await host.open(server.url);
  made = await host.look(makeRoom);
});

afterEach(() => host.look(stopClock));

afterAll(async () => {
  console.table(told);
  await Promise.allSettled([near?.close(), far?.close()]);
  await server?.stop();
  await netlab?.close();
});

test.each([2, 10])('with a keyframe every %i s each join at 50 ms is shown the last one', async (seconds) => {
  onTestFailed(() => console.log(server.log()));
  await host.look(publishClock, JSON.stringify({ ...made, seconds }));
  await sendsKeyframes(host, 2);
  const viewer = await far.visit('a visitor');
  await viewer.open(server.url);
  await joinFromCache([viewer, host], { room: made.room, count: JOINS, watchedMs: WATCHED_MS }, metrics, (seen) => told.push({ every: `${seconds} s`, ...seen }));
  await viewer.close();
}, 120_000 + JOINS * 10_000);

function metrics(): Promise<string> {
  return host.look(async (token) => (await fetch('/metrics', { headers: { authorization: `Bearer ${token}` } })).text(), METRICS_TOKEN);
}
