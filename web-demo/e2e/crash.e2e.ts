/** The server dies without a word and comes back: everybody goes on by themselves, and nothing said is lost. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { publishStatus, received } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isLive, openStudio, prepareCamera, reads, signIn, watch } from './visitors.js';

let server: Server;
let chromium: Browser;
let host: Tab;
let viewer: Tab;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  host = await chromium.visit('the host');
  viewer = await chromium.visit('the viewer');
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('host and viewer come back after the server was killed', async () => {
  onTestFailed(() => console.log(server.log()));
  const roomId = await openStudio(host, server.url, 'Ann', 'Power cut');
  await prepareCamera(host);
  await goLive(host);
  await watch(viewer, server.url, roomId);
  await signIn(viewer, 'Bob');
  await viewer.enter('[data-test=chat-draft]', 'before the power cut');
  await reads(host, 'before the power cut');
  await frames(viewer, 10);
  const { peers } = await viewer.look(received);

  await server.crash();
  await isBack(host, viewer, peers);

  await viewer.enter('[data-test=chat-draft]', 'after the power cut');
  const lines = await reads(host, 'after the power cut');
  expect(lines.filter((line) => line.includes('before the power cut'))).toHaveLength(1);
  expect(await reads(viewer, 'after the power cut')).toEqual(lines);
});

async function isBack(host: Tab, viewer: Tab, peers: number): Promise<void> {
  await until('the host notices', () => host.look(publishStatus), (status) => status === 'reconnecting' || status === 'live');
  await until('the viewer has a new session', () => viewer.look(received), (seen) => seen.peers > peers);
  await isLive(host);
  await frames(viewer, 30);
  await until('the viewer is told', () => viewer.look(received), ({ status }) => status === 'playing');
}
