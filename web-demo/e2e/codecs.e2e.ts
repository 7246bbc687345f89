/** Each coding that Klieg forwards, between real browsers. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { received, statusWords } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, stop, watch } from './visitors.js';

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewer: Tab;
let foreign: Tab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewer = await chromium.visit('Chromium viewer');
  foreign = await firefox.visit('Firefox viewer');
  roomId = await openStudio(host, server.url, 'Ann', 'Codecs');
  await prepareCamera(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test.each(['VP8', 'H264', 'VP9', 'AV1'])('%s plays in Chromium', async (codec) => {
  onTestFailed(() => console.log(server.log()));
  await host.choose('#codec', codec.toLowerCase());
  await goLive(host);
  try {
    await watch(viewer, server.url, roomId);
    const seen = await frames(viewer, 60);
    expect(seen.codec).toBe(codec);
  } finally {
    await stop(host);
  }
});

test('VP8 plays in Firefox', async () => {
  onTestFailed(() => console.log(server.log()));
  await host.choose('#codec', 'vp8');
  await goLive(host);
  await watch(foreign, server.url, roomId);
  const seen = await frames(foreign, 60);
  expect(seen.codec).toBe('VP8');
  await stop(host);
});

test('a viewer who stays follows the host from one coding to another, or reads why not', async () => {
  onTestFailed(() => console.log(server.log()));
  await host.choose('#codec', 'vp8');
  await goLive(host);
  await watch(viewer, server.url, roomId);
  const { frames: before, peers } = await frames(viewer, 10);
  await stop(host);
  await host.choose('#codec', 'h264');
  await goLive(host);
  const after = await frames(viewer, before + 30);
  expect(after.peers).toBe(peers);
  // Debian's Firefox has no H.264 in WebRTC; others may.
  const plays = await foreign.look(() => RTCRtpReceiver.getCapabilities('video')?.codecs.some(({ mimeType }) => mimeType === 'video/H264') ?? false);
  if (!plays) {
    await until('Firefox is told', () => foreign.look(received), ({ status }) => status === 'unplayable');
    expect(await foreign.look(statusWords)).toContain('H.264');
  }
  await stop(host);
});

test('no page reported an error', () => {
  expect([host, viewer, foreign].flatMap(({ errors }) => errors)).toEqual([]);
});
