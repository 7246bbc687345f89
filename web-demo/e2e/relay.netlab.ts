/** A visitor's Chromium behind a network that lets nothing out but TCP to two ports: it watches through the server's own relay. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { framesSent, makeRoom, publishLayers, way } from './probe.js';
import { startServerAt } from './server.js';
import type { Server } from './server.js';
import { frames, watch } from './visitors.js';

/** From the page's address to the picture, as long as a join by a relay may take. */
const WATCHES_WITHIN_MS = 7_000;
const RELAY_PORT = 3478;

let netlab: Netlab;
let server: Server;
let near: Browser;
let far: Browser;
let host: Tab;
let room: string;

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  server = await startServerAt({ namespace: netlab.server, host: netlab.host }, {
    KLIEG_NEW_ACCOUNT_ROLE: 'host', KLIEG_RELAY_LISTEN: `${netlab.host}:${RELAY_PORT}`,
  });
  [near, far] = await Promise.all([netlab.server, netlab.visitor].map((namespace) => launchChromium({ namespace, origin: server.url }))) as [Browser<ChromiumTab>, Browser<ChromiumTab>];
  host = await near.visit('the host');
  await host.open(server.url);
  const made = await host.look(makeRoom);
  room = made.room;
  await host.look(publishLayers, JSON.stringify({ ...made, rates: [100_000, 300_000, 1_200_000], squares: 4 }));
  await until('the host sends', () => host.look(framesSent), (sent) => (sent['f'] ?? 0) > 30);
});

afterAll(async () => {
  await Promise.allSettled([near?.close(), far?.close()]);
  await server?.stop();
  await netlab?.close();
});

test('where nothing passes but TCP to the page and to the relay, a visitor watches', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.passOnlyTcp([Number(new URL(server.url).port), RELAY_PORT]);
  const viewer = await far.visit('a visitor behind a wall');
  const began = Date.now();
  await watch(viewer, server.url, room);
  const joinMs = Date.now() - began;
  console.log(`watches after ${joinMs} ms`);
  expect(await viewer.look(way)).toBe('relay tcp');
  await frames(viewer, 100);
  expect(joinMs).toBeLessThan(WATCHES_WITHIN_MS);
  expect(viewer.errors).toEqual([]);
  await viewer.close();
});
