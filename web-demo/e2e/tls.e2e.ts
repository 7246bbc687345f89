/** A whole event over HTTPS and WSS, as the server speaks it itself. */

import { execFile } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium } from './browsers.js';
import type { Browser } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, reads, signIn, watch } from './visitors.js';

let folder: string;
let server: Server;
let chromium: Browser;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'klieg-tls-'));
  const [certificate, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '7',
    '-subj', '/CN=live.example', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate,
  ]);
  server = await startServer({ KLIEG_TLS_CERT: certificate, KLIEG_TLS_KEY: key });
  const { publicKey } = new X509Certificate(await readFile(certificate));
  const hash = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
  chromium = await launchChromium(undefined, hash);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
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
