/** A visitor's Chromium behind a bad network: what it still decodes, and how soon it gets what the network carries. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Conditions, Netlab } from './netlab.js';
import { framesSent, longestGapMs, received, repairs, watchGaps } from './probe.js';
import type { Server } from './server.js';
import { RATES, startShow } from './show.js';
import type { Show } from './show.js';
import { frames, watch } from './visitors.js';

/** How long a condition is watched; `make netlab` takes longer. */
const WATCHED_MS = Number(process.env['NETLAB_SECONDS'] ?? 10) * 1000;
/** Of the frames; docs/bandwidth.md says what was measured. */
const SHARE = 0.9;
/** Within this a page knows what its network loses, and has frames wait for it. */
const LEARNING_MS = 5_000;

let netlab: Netlab;
let show: Show;
let server: Server;
let near: Browser;
let far: Browser;
let host: Tab;
let room: string;
const figures: Record<string, unknown>[] = [];

beforeAll(async () => {
  netlab = await startNetlab();
  ({ server, near, far, host, room } = show = await startShow(netlab));
  await steady();
});

afterAll(async () => {
  console.table(figures);
  await show?.close();
  await netlab?.close();
});

/** Waits until the host's browser sends all of its layers at nearly 30 frames a second: it begins with less. */
async function steady(): Promise<void> {
  const second = async () => {
    const before = await host.look(framesSent);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const after = await host.look(framesSent);
    return Object.entries(after).map(([rid, sent]) => sent - (before[rid] ?? 0));
  };
  await until('the host sends all layers', second, (sent) => sent.length === RATES.length && sent.every((frames) => frames >= 25));
}

/** A visitor who sees the largest picture. */
async function visitor(name: string, down: Conditions, up: Conditions = down): Promise<Tab> {
  onTestFailed(() => console.log(server.log()));
  await netlab.meet(down, up);
  const viewer = await far.visit(name);
  await watch(viewer, server.url, room);
  await shows(viewer, 960);
  return viewer;
}

function shows(viewer: Tab, width: number): Promise<unknown> {
  return until(`${viewer.name} is shown ${width} pixels`, () => viewer.look(received), (seen) => seen.width === width, 60_000);
}

/** Watches for a while; returns the share of the publisher's frames that were decoded. */
async function decoded(viewer: Tab): Promise<number> {
  const count = async () => {
    const [sent, seen] = await Promise.all([host.look(framesSent), viewer.look(received)]);
    return { sent: sent['f']!, seen: seen.frames };
  };
  const before = await count();
  await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
  const after = await count();
  return (after.seen - before.seen) / (after.sent - before.sent);
}

test.each([5, 10])('with %i percent lost each way, at 100 ms, the largest picture goes on', async (loss) => {
  const viewer = await visitor(`a visitor with ${loss} % loss`, { loss, delay: 50 });
  await new Promise((resolve) => setTimeout(resolve, LEARNING_MS));
  const before = await netlab.counts();
  const share = await decoded(viewer);
  const after = await netlab.counts();
  const { freezeCount, nackCount, retransmittedPacketsReceived } = await viewer.look(repairs);
  figures.push({ condition: `${loss} % loss, 100 ms`, decoded: `${(share * 100).toFixed(1)} %`, freezeCount, nackCount, retransmittedPacketsReceived });
  expect(after.down.lost - before.down.lost, 'the network loses').toBeGreaterThan(20);
  expect(share).toBeGreaterThan(SHARE);
  expect(await viewer.look(received), 'loss alone takes no layer away').toMatchObject({ width: 960, peers: 1 });
  await viewer.close();
});

test('who begins with the past gets as much of a lossy picture as others', async () => {
  const neighbour = await near.visit('a neighbour');
  await watch(neighbour, server.url, room);
  await neighbour.close();
  const viewer = await visitor('a visitor shortly after a neighbour', { loss: 5, delay: 50 });
  await new Promise((resolve) => setTimeout(resolve, LEARNING_MS));
  const share = await decoded(viewer);
  const { freezeCount } = await viewer.look(repairs);
  figures.push({ condition: '5 % loss, 100 ms, joined from the cache', decoded: `${(share * 100).toFixed(1)} %`, freezeCount });
  expect(share).toBeGreaterThan(SHARE);
  await viewer.close();
});

test('with 10 % lost at 500 ms, a visitor still gets in', async () => {
  const began = Date.now();
  const viewer = await visitor('a visitor from far away', { loss: 10, delay: 250 });
  figures.push({ condition: 'join at 500 ms, 10 % loss: the largest layer', ms: Date.now() - began });
  await viewer.close();
});

test('a narrow network gets a smaller picture, and a wide one the largest again', async () => {
  const viewer = await visitor('a visitor on a narrow network', { rate: 3_000_000, delay: 25 }, { delay: 25 });
  // What the join and the first probes have left in the queue is gone by then.
  await frames(viewer, (await viewer.look(received)).frames + 90);
  await viewer.look(watchGaps);
  const narrowed = Date.now();
  await netlab.meet({ rate: 600_000, delay: 25 }, { delay: 25 });
  await until('a smaller picture', () => viewer.look(received), ({ width }) => width < 960);
  const downMs = Date.now() - narrowed;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, narrowed + 3000 - Date.now())));
  const [before, counted] = [await viewer.look(received), await netlab.counts()];
  await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
  const [after, later] = [await viewer.look(received), await netlab.counts()];
  const overflowed = later.down.overflowed - counted.down.overflowed;
  const lost = overflowed / (overflowed + later.down.passed - counted.down.passed);
  const gapMs = await viewer.look(longestGapMs);
  expect(after.frames - before.frames, 'frames go on').toBeGreaterThan(WATCHED_MS / 1000 * 10);
  const widened = Date.now();
  await netlab.meet({ rate: 3_000_000, delay: 25 }, { delay: 25 });
  await shows(viewer, 960);
  figures.push({
    condition: '3 → 0.6 → 3 Mb/s', downMs, gapMs: Math.round(gapMs), lostAfter3s: `${(lost * 100).toFixed(1)} %`, upMs: Date.now() - widened,
  });
  expect(await viewer.look(received), 'the same connection').toMatchObject({ peers: 1 });
  await viewer.close();
});

test('a router that changes its ports costs no connection', async () => {
  const viewer = await visitor('a visitor behind a router', { delay: 20 });
  await viewer.look(watchGaps);
  const { frames: seen } = await viewer.look(received);
  await netlab.rebind();
  await frames(viewer, seen + 150);
  figures.push({ condition: 'other ports', gapMs: Math.round(await viewer.look(longestGapMs)) });
  expect(await viewer.look(received)).toMatchObject({ peers: 1 });
  await viewer.close();
});

test('no page reported an error', () => {
  expect(host.errors).toEqual([]);
});
