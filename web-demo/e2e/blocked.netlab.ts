/** Visitors behind a network that lets no UDP pass: they watch and publish by TCP. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { makeRoom, protocol, publishLayers, received, statuses } from './probe.js';
import type { Server } from './server.js';
import { RATES, startShow } from './show.js';
import type { Show } from './show.js';
import { frames, watch } from './visitors.js';

/** From the page's address to the picture, as long as a join without UDP may take. */
const WATCHES_WITHIN_MS = 5_000;
/** Longer than Chromium asks by UDP without an answer, and than the page waits before it looks for a straight way where the browser does not. */
const BLOCKED_MS = 32_000;

let netlab: Netlab;
let show: Show;
let server: Server;
let near: Browser;
let far: Browser;
let foreign: Browser;
let host: Tab;
let room: string;
const figures: Record<string, unknown>[] = [];

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  ({ server, near, far, host, room } = show = await startShow(netlab));
  foreign = await launchFirefox({ namespace: netlab.visitor, origin: server.url });
});

afterAll(async () => {
  console.table(figures);
  await foreign?.close();
  await show?.close();
  await netlab?.close();
});

test.each(['Chromium', 'Firefox'])('without UDP a visitor in %s watches by TCP, and goes over to UDP once that passes', async (name) => {
  onTestFailed(() => console.log(server.log()));
  await netlab.blockUdp(true);
  const viewer = await (name === 'Firefox' ? foreign : far).visit('a visitor without UDP');
  const began = Date.now();
  await watch(viewer, server.url, room);
  const joinMs = Date.now() - began;
  expect(await viewer.look(protocol)).toBe('tcp');
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 60);
  const { audioEnergy, peers } = await viewer.look(received);
  // Browsers give up what does not answer: the page looks for a better way, and the picture goes on meanwhile.
  await until('the picture goes on', () => viewer.look(received), (now) => now.frames >= seen + BLOCKED_MS * 30 / 1000, 2 * BLOCKED_MS);
  expect(await viewer.look(protocol)).toBe('tcp');
  expect(await viewer.look(statuses)).not.toContain('stalled');
  await netlab.blockUdp(false);
  const freed = Date.now();
  await until('the visitor goes by UDP', () => viewer.look(protocol), (by) => by === 'udp', 60_000);
  const udpMs = Date.now() - freed;
  const { frames: before } = await viewer.look(received);
  await frames(viewer, before + 60);
  figures.push({ condition: `watches in ${name}`, joinMs, udpMs, audioEnergy });
  expect(joinMs).toBeLessThan(WATCHES_WITHIN_MS);
  expect(await viewer.look(received), 'the same connection').toMatchObject({ peers });
  await viewer.close();
});

test('a slow network without UDP gets a smaller picture, not a later one', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.blockUdp(true);
  const viewer = await far.visit('a visitor on a slow network without UDP');
  await watch(viewer, server.url, room);
  await until('the largest picture', () => viewer.look(received), ({ width }) => width === 960, 60_000);
  await netlab.meet({ rate: 600_000, delay: 20 }, { delay: 20 });
  await until('a smaller picture', () => viewer.look(received), ({ width }) => width < 960, 60_000);
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 100);
  expect(await viewer.look(protocol)).toBe('tcp');
  await netlab.meet({ delay: 20 }, { delay: 20 });
  await viewer.close();
  await netlab.blockUdp(false);
});

test('without UDP a host publishes by TCP', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.blockUdp(true);
  const blocked = await far.visit('a host without UDP');
  await blocked.open(server.url);
  const made = await blocked.look(makeRoom, 'blocked');
  const began = Date.now();
  await blocked.look(publishLayers, JSON.stringify({ ...made, rates: RATES, squares: 4 }));
  await until('the host goes by TCP', () => blocked.look(protocol), (by) => by === 'tcp');
  figures.push({ condition: 'publishes', connectedMs: Date.now() - began });
  const viewer = await near.visit('a viewer with UDP');
  await watch(viewer, server.url, made.room);
  await until('the largest picture', () => viewer.look(received), ({ width }) => width === 960, 60_000);
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 100);
  expect(await viewer.look(protocol)).toBe('udp');
  await viewer.close();
  await blocked.close();
  await netlab.blockUdp(false);
});

test('no page reported an error', () => {
  expect(host.errors).toEqual([]);
});
