/** How long viewers let pictures wait is the host's choice, and real browsers keep to it, sound and picture together. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { longestGapMs, playback, received, waited, watchGaps } from './probe.js';
import { startServer } from './server.js';
import type { Waited } from './probe.js';
import type { Server } from './server.js';
import { frames, goLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

/** Far more than a busy machine takes for a frame, and far less than the ten seconds for which Firefox draws nothing where it is told to show pictures at once. */
const STANDS_STILL_MS = 3_000;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewers: Tab[];
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  roomId = await openStudio(host, server.url, 'Ann', 'Slow evening');
  await prepareCamera(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

/** Browsers hold sound back, or let it go, a little at a time. */
function areTogether({ video, audio }: Waited): boolean {
  return Math.abs(video - audio) < 250;
}

test('viewers wait as long as the host chooses, from the first picture on and when the choice changes', async () => {
  onTestFailed(() => console.log(server.log()));
  await host.choose('#delay', '1000');
  await goLive(host);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map(listen));
  await Promise.all(viewers.map((viewer) => frames(viewer, 30)));
  await Promise.all(viewers.map(async (viewer) => {
    const seen = await until(`${viewer.name} waits a second`, () => viewer.look(waited), (seen) => seen.video > 900 && seen.video < 1300 && areTogether(seen));
    console.log(`${viewer.name}, one second: ${JSON.stringify(seen)}`);
  }));

  await Promise.all(viewers.map((viewer) => viewer.look(watchGaps)));
  await host.choose('#delay', '0');
  await Promise.all(viewers.map(async (viewer) => {
    const seen = await until(`${viewer.name} waits no more`, () => viewer.look(waited), (seen) => seen.video < 250 && areTogether(seen));
    console.log(`${viewer.name}, at once: ${JSON.stringify(seen)}`);
    // What is decoded is drawn, too.
    await frames(viewer, (await viewer.look(received)).frames + 5 * 30);
    const gap = await viewer.look(longestGapMs);
    console.log(`${viewer.name} stood still for ${Math.round(gap)} ms`);
    expect(gap, `${viewer.name} stands still`).toBeLessThan(STANDS_STILL_MS);
  }));

  // The choice is the room's: who comes later keeps to it, and the studio shows it.
  await host.choose('#delay', '500');
  const late = await chromium.visit('late viewer');
  await watch(late, server.url, roomId);
  await frames(late, 10);
  for (const viewer of [...viewers, late]) {
    await until(`${viewer.name} waits half a second`, () => viewer.look(waited), ({ video }) => video > 400 && video < 800);
    expect((await viewer.look(playback)).lost, `${viewer.name} lost packets`).toBe(0);
  }
}, 120_000);
