/** The core of what bad networks do to a visitor's Chromium, for `make test`: each case once, and shortly. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import type { Browser, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Conditions, Netlab } from './netlab.js';
import { protocol, received, statuses } from './probe.js';
import type { Server } from './server.js';
import { startShow } from './show.js';
import type { Show } from './show.js';
import { frames, isTold, watch } from './visitors.js';

const RATES: [number, number, number] = [60_000, 120_000, 400_000];
/** For so long nothing passes: longer than the page waits before it says so, and not as long as a session lasts. */
const SILENCE_MS = 4_000;

let netlab: Netlab;
let show: Show;
let server: Server;
let far: Browser;
let room: string;

beforeAll(async () => {
  netlab = await startNetlab();
  ({ server, far, room } = show = await startShow(netlab, { rates: RATES, squares: 1 }));
});

afterAll(async () => {
  await show?.close();
  await netlab?.close();
});

async function visitor(name: string, conditions: Conditions): Promise<Tab> {
  onTestFailed(() => console.log(server.log()));
  await netlab.meet(conditions, conditions);
  const viewer = await far.visit(name);
  await watch(viewer, server.url, room);
  return viewer;
}

test('with packets lost each way a visitor gets in, and frames go on', async () => {
  const viewer = await visitor('a visitor with 5 % loss', { loss: 5, delay: 50 });
  const { frames: seen, peers } = await viewer.look(received);
  await frames(viewer, seen + 60);
  expect((await netlab.counts()).down.lost, 'the network loses').toBeGreaterThan(0);
  expect(await viewer.look(received)).toMatchObject({ peers });
  await viewer.close();
});

test('a router that changes its ports costs no connection', async () => {
  const viewer = await visitor('a visitor behind a router', { delay: 20 });
  const { frames: seen, peers } = await viewer.look(received);
  await netlab.rebind();
  await frames(viewer, seen + 60);
  expect(await viewer.look(received)).toMatchObject({ peers });
  await viewer.close();
});

test('a picture that stands still is told of, and heals by itself', async () => {
  const viewer = await visitor('a visitor in a lift', { delay: 20 });
  await netlab.meet({ loss: 100 }, { loss: 100 });
  await isTold(viewer, 'stalled');
  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS));
  await netlab.meet({ delay: 20 }, { delay: 20 });
  await isTold(viewer, 'playing');
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 60);
  console.log(`the page said ${(await viewer.look(statuses)).join(', ')}`);
  await viewer.close();
});

test('without UDP a visitor watches by TCP', async () => {
  await netlab.blockUdp(true);
  const viewer = await visitor('a visitor without UDP', { delay: 20 });
  expect(await viewer.look(protocol)).toBe('tcp');
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 30);
  await viewer.close();
  await netlab.blockUdp(false);
});
