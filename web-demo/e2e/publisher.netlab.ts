/** A host whose network goes away, changes its ports or makes way for another host: what that costs who watches. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Conditions, Netlab } from './netlab.js';
import { longestGapMs, received, statuses, watchGaps } from './probe.js';
import { startServerAt } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isLive, isTold, openStudio, prepareCamera, watch } from './visitors.js';

/** The host's link when nothing is wrong with it, each way. */
const LINK: Conditions = { delay: 20 };

let netlab: Netlab;
let server: Server;
let near: Browser;
let far: Browser;
let host: Tab;
let viewer: Tab;
let room: string;
const figures: Record<string, unknown>[] = [];

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet(LINK, LINK);
  server = await startServerAt({ namespace: netlab.server, host: netlab.host }, { KLIEG_NEW_ACCOUNT_ROLE: 'host' });
  [near, far] = await Promise.all([netlab.server, netlab.visitor].map((namespace) => launchChromium({ namespace, origin: server.url }))) as [Browser<ChromiumTab>, Browser<ChromiumTab>];
  [host, viewer] = [await far.visit('the host'), await near.visit('a viewer')];
  room = await openStudio(host, server.url, 'Ann', 'From a train', crypto.randomUUID());
  await prepareCamera(host);
  await goLive(host);
  await watch(viewer, server.url, room);
});

afterAll(async () => {
  console.table(figures);
  await Promise.allSettled([near?.close(), far?.close()]);
  await server?.stop();
  await netlab?.close();
});

/** Watches while something happens to the host, and until two seconds of pictures more; says how long none came. */
async function throughout(condition: string, happens: () => Promise<unknown>): Promise<void> {
  onTestFailed(() => console.log(server.log()));
  const { peers } = await viewer.look(received);
  await viewer.look(watchGaps);
  await happens();
  await frames(viewer, (await viewer.look(received)).frames + 60);
  const gapMs = Math.round(await viewer.look(longestGapMs));
  figures.push({ condition, gapMs });
  expect(await viewer.look(received), 'the same connection').toMatchObject({ peers, status: 'playing' });
}

test.each([1, 10])('a host without a network for %i s is seen again, by who kept the connection', async (seconds) => {
  await throughout(`nothing passes for ${seconds} s`, async () => {
    await netlab.meet({ loss: 100 }, { loss: 100 });
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    await netlab.meet(LINK, LINK);
    await isLive(host);
    await isTold(viewer, 'playing');
  });
}, 90_000);

test('a router of the host that changes its ports is noticed by nobody who watches', async () => {
  await throughout('other ports', async () => {
    const { frames: seen } = await viewer.look(received);
    await netlab.rebind();
    await frames(viewer, seen + 150);
  });
  expect((await viewer.look(statuses)).at(-1)).toBe('playing');
});

test('a host whose machine is gone is followed by another one who comes', async () => {
  const next = await host.again('the next host');
  await next.open(`${server.url}/studio/${room}`);
  await prepareCamera(next);
  await throughout('another host', async () => {
    await goLive(next);
    await host.close();
  });
  host = next;
});

test('no page reported an error', () => {
  expect(viewer.errors).toEqual([]);
});
