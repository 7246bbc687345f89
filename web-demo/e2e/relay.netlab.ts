/** A visitor's Chromium behind a network that lets nothing out but TCP to two ports: it watches through the server's own relay. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import type { Browser } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { way } from './probe.js';
import type { Server } from './server.js';
import { startShow } from './show.js';
import type { Show } from './show.js';
import { frames, watch } from './visitors.js';

/** From the page's address to the picture, as long as a join by a relay may take. */
const WATCHES_WITHIN_MS = 7_000;
const RELAY_PORT = 3478;

let netlab: Netlab;
let show: Show;
let server: Server;
let far: Browser;
let room: string;

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  ({ server, far, room } = show = await startShow(netlab, { settings: { KLIEG_RELAY_LISTEN: `${netlab.host}:${RELAY_PORT}` } }));
});

afterAll(async () => {
  await show?.close();
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
