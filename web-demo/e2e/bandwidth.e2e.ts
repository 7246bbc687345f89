/** What browsers report of what arrives, and what the server makes of it on a network without a limit: the best layer, and no freeze. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { playback, publishLayers, received } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, watch } from './visitors.js';

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewers: Tab[];

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

/** Reads counters by their label. */
async function counters(name: string): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const lines = metrics.matchAll(new RegExp(`^klieg_sfu_${name}_total\\{\\w+="(\\w+)"\\} (\\d+)`, 'gm'));
  return Object.fromEntries([...lines].map(([, label, count]) => [label, Number(count)]));
}

test('both browsers report what arrives, and are shown the best layer without a break', async () => {
  onTestFailed(() => console.log(server.log()));
  await host.open(server.url);
  await host.look(publishLayers);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, 'demo')));
  await Promise.all(viewers.map((viewer) => until('the best layer is shown', () => viewer.look(received), ({ width }) => width === 960)));
  await Promise.all(viewers.map(async (viewer) => {
    const { frames: begun } = await frames(viewer, 30);
    const before = await viewer.look(playback);
    await frames(viewer, begun + 300);
    const after = await viewer.look(playback);
    console.log(`${viewer.name}: ${JSON.stringify({ before, after })}`);
    expect(await viewer.look(received)).toMatchObject({ width: 960 });
  }));
  const [estimates, changes] = [await counters('estimates'), await counters('bandwidth_changes')];
  console.log(JSON.stringify({ estimates, changes }));
  const samples = Object.values(estimates).reduce((sum, count) => sum + count, 0);
  expect(samples, 'estimates of two viewers over ten seconds').toBeGreaterThan(12);
  // The best layer has 0.4 Mb/s.
  expect((estimates['150'] ?? 0) + (estimates['300'] ?? 0)).toBe(0);
  expect(changes['paused']).toBe(0);
});

test('no page reported an error', () => {
  expect([host, ...viewers].flatMap(({ errors }) => errors)).toEqual([]);
});
