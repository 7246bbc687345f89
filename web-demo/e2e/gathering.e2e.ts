/** What a busy server does to save calls to the kernel: real browsers must not notice. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox } from './browsers.js';
import type { Browser } from './browsers.js';
import { playback } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

let server: Server;
let chromium: Browser;
let firefox: Browser;

beforeAll(async () => {
  server = await startServer({ KLIEG_MEDIA_HOLD_MS: process.env['KLIEG_MEDIA_HOLD_MS'] ?? '10' });
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('packets that wait for each other, sound behind pictures and padding are played as ever', async () => {
  onTestFailed(() => console.log(server.log()));
  const host = await chromium.visit('the host');
  const viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  const roomId = await openStudio(host, server.url, 'Ann', 'Busy evening');
  await prepareCamera(host);
  await goLive(host);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map(listen));
  await Promise.all(viewers.map(async (viewer) => {
    const { frames: begun } = await frames(viewer, 30);
    const before = await viewer.look(playback);
    await frames(viewer, begun + 240);
    const after = await viewer.look(playback);
    // How much is made up depends on the machine as well: printed, to be compared with KLIEG_MEDIA_HOLD_MS=0.
    console.log(`${viewer.name}: ${JSON.stringify({ before, after })}`);
    expect(after.lost - before.lost, `${viewer.name} lost packets`).toBe(0);
    expect(after.samples - before.samples, `${viewer.name} plays sound`).toBeGreaterThan(48_000);
  }));
  // The point of it: more than one packet leaves at once.
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const total = (name: string) => Number(new RegExp(`^klieg_sfu_${name}_total (\\d+)`, 'm').exec(metrics)?.[1]);
  console.log(`${total('rtp_sent')} packets in ${total('runs_sent')} runs`);
  expect(total('rtp_sent') / total('runs_sent')).toBeGreaterThan(1.2);
});
