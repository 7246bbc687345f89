/** A whole event over HTTPS and WSS, as the server speaks it itself. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium } from './browsers.js';
import type { Browser } from './browsers.js';
import { makeCertificate } from './certificate.js';
import type { Certificate } from './certificate.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, reads, signIn, watch } from './visitors.js';

let certificate: Certificate;
let server: Server;
let chromium: Browser;

beforeAll(async () => {
  certificate = await makeCertificate();
  server = await startServer({ KLIEG_TLS_CERT: certificate.file, KLIEG_TLS_KEY: certificate.key });
  chromium = await launchChromium(undefined, certificate.hash);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  await certificate?.remove();
});

test('a host goes live over HTTPS, and a viewer watches and chats', async () => {
  onTestFailed(() => console.log(server.log()));
  expect(server.url).toMatch(/^https:/);
  const [host, viewer] = [await chromium.visit('the host'), await chromium.visit('the viewer')];
  const roomId = await openStudio(host, server.url, 'Ann', 'Behind a lock');
  await prepareCamera(host);
  await goLive(host);
  await watch(viewer, server.url, roomId);
  await frames(viewer, 100);
  // No flag made the page secure: HTTPS did.
  expect(await viewer.look(() => [location.protocol, isSecureContext])).toEqual(['https:', true]);
  await signIn(viewer, 'Bob');
  await viewer.enter('[data-test=chat-draft]', 'Nobody listens in.');
  await Promise.all([host, viewer].map((visitor) => reads(visitor, 'Nobody listens in.')));
  expect([host, viewer].flatMap((visitor) => visitor.errors)).toEqual([]);
});
