/** The server dies without a word and comes back: everybody goes on by themselves, and nothing said is lost. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { publishStatus, received } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isLive, openStudio, prepareCamera, reads, signIn, watch } from './visitors.js';

/** As long as a service manager takes to start it again. */
const DOWN_MS = 4_000;
/** From the kill to the first new frame, however slow the machine is. */
const BACK_WITHIN_MS = 10_000;

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

test('host and viewers come back after the server was killed', async () => {
  onTestFailed(() => console.log(server.log()));
  const [bob] = viewers as [Tab, Tab];
  const roomId = await openStudio(host, server.url, 'Ann', 'Power cut');
  await prepareCamera(host);
  await goLive(host);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await signIn(bob, 'Bob');
  await bob.enter('[data-test=chat-draft]', 'before the power cut');
  await Promise.all([host, ...viewers].map((visitor) => reads(visitor, 'before the power cut')));
  await Promise.all(viewers.map((viewer) => frames(viewer, 10)));
  const peers = await Promise.all(viewers.map(async (viewer) => (await viewer.look(received)).peers));

  const killedAt = Date.now();
  await server.crash(DOWN_MS);
  await Promise.all(viewers.map((viewer, index) => isBack(viewer, peers[index]!, killedAt)));
  await until('the host notices', () => host.look(publishStatus), (status) => status === 'reconnecting' || status === 'live');
  await isLive(host);

  await bob.enter('[data-test=chat-draft]', 'after the power cut');
  const [lines, ...others] = await Promise.all([host, ...viewers].map((visitor) => reads(visitor, 'after the power cut')));
  expect(lines?.filter((line) => line.includes('before the power cut'))).toHaveLength(1);
  for (const other of others) expect(other).toEqual(lines);
});

/** Waits until a viewer sees the show again, over a new peer connection. */
async function isBack(viewer: Tab, peers: number, killedAt: number): Promise<void> {
  await until(`${viewer.name} has a new session`, () => viewer.look(received), (seen) => seen.peers > peers);
  await frames(viewer, 1);
  const afterMs = Date.now() - killedAt;
  console.log(`${viewer.name}: a new frame ${afterMs} ms after the server was killed`);
  expect(afterMs, `${viewer.name}'s way back`).toBeLessThan(BACK_WITHIN_MS);
  await frames(viewer, 30);
  await until(`${viewer.name} is told`, () => viewer.look(received), ({ status }) => status === 'playing');
}
