/** Viewers in Chromium are told when what they see and hear was captured: by the host's browser, or by the server from sender reports. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { captured, publishLayers } from './probe.js';
import type { Captured } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, watch } from './visitors.js';

/** Encoding, the network of one machine and decoding take less, however busy it is. */
const OLDEST_MS = 5_000;
/** All clocks are one. */
const APART_MS = 1_000;

let server: Server;
let chromium: Browser;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('what the studio says reaches viewers, of sound and picture', async () => {
  onTestFailed(() => console.log(server.log()));
  const host = await chromium.visit('the host');
  const room = await openStudio(host, server.url, 'Ann', 'On time');
  await prepareCamera(host);
  await goLive(host);
  const viewer = await chromium.visit('a viewer');
  await watch(viewer, server.url, room);
  const seen = await toldOf(viewer, ['audio', 'video']);
  console.log(`from the studio: ${JSON.stringify(seen)}`);
  expect([...host.errors, ...viewer.errors]).toEqual([]);
  await viewer.close();
  await host.close();
});

test('of an encoder that says nothing, sender reports tell', async () => {
  onTestFailed(() => console.log(server.log()));
  const host = await chromium.visit('an encoder');
  await host.open(server.url);
  await host.look(publishLayers);
  const viewer = await chromium.visit('a viewer of it');
  await watch(viewer, server.url, 'demo');
  const seen = await toldOf(viewer, ['video']);
  console.log(`from sender reports: ${JSON.stringify(seen)}`);
  expect([...host.errors, ...viewer.errors]).toEqual([]);
});

/** Waits until a viewer is told of all these kinds, and checks what. */
async function toldOf(viewer: Tab, kinds: string[]): Promise<Captured[]> {
  await frames(viewer, 60);
  const told = await until(`${viewer.name} is told`, () => viewer.look(captured), (seen) => kinds.every((kind) => seen.some((one) => one.kind === kind && one.ageMs !== null && one.aheadMs !== null)));
  for (const { ageMs, aheadMs } of told.filter(({ kind }) => kinds.includes(kind))) {
    expect(ageMs).toBeGreaterThan(-APART_MS);
    expect(ageMs).toBeLessThan(OLDEST_MS);
    expect(Math.abs(aheadMs!)).toBeLessThan(APART_MS);
  }
  return told;
}
