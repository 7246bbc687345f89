/** Everything at port 443, and visitors whose network passes nothing else: TCP to it, or of that only what is TLS. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { makeCertificate } from './certificate.js';
import type { Certificate } from './certificate.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { protocol, way } from './probe.js';
import type { Server } from './server.js';
import { startShow } from './show.js';
import type { Show } from './show.js';
import { frames, goLive, openStudio, prepareCamera, watch } from './visitors.js';

/** From the page's address to the picture, as long as a join by a relay may take. */
const WATCHES_WITHIN_MS = 7_000;
const PORT = 443;

let netlab: Netlab;
let show: Show;
let certificate: Certificate;
let server: Server;
let near: Browser<ChromiumTab>;
let far: Browser<ChromiumTab>;
let host: Tab;
let room: string;

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  const address = await netlab.addPublic();
  certificate = await makeCertificate(address);
  ({ server, near, far, host, room } = show = await startShow(netlab, {
    place: { host: address, port: PORT },
    certificate,
    settings: { KLIEG_TLS_CERT: certificate.file, KLIEG_TLS_KEY: certificate.key, KLIEG_RELAY_LISTEN: `${address}:${PORT}`, KLIEG_RELAY_HOST: address },
  }));
});

afterAll(async () => {
  await show?.close();
  await certificate?.remove();
  await netlab?.close();
});

/** Has a visitor watch, and returns what by. */
async function watches(name: string): Promise<{ joinMs: number; protocol: string; way: string }> {
  const viewer = await far.visit(name);
  const began = Date.now();
  await watch(viewer, server.url, room);
  const joinMs = Date.now() - began;
  const seen = { joinMs, protocol: await viewer.look(protocol), way: await viewer.look(way) };
  console.log(`${name} watches after ${joinMs} ms by ${seen.protocol}, ${seen.way}`);
  await frames(viewer, 100);
  expect(viewer.errors).toEqual([]);
  await viewer.close();
  return seen;
}

test('where everything passes, media goes to port 443 by UDP', async () => {
  onTestFailed(() => console.log(server.log()));
  expect((await watches('a visitor without a wall')).protocol).toBe('udp');
  expect(await host.look(protocol)).toBe('udp');
});

test('where nothing passes but TCP to port 443, a visitor watches without a relay', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.passOnlyTcp([PORT]);
  const seen = await watches('a visitor behind a wall');
  expect(seen.protocol).toBe('tcp');
  expect(seen.way).not.toContain('relay');
  expect(seen.joinMs).toBeLessThan(WATCHES_WITHIN_MS);
});

test('where nothing passes but TLS to port 443, a visitor watches by TURN within TLS', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.passOnlyTls(PORT);
  const seen = await watches('a visitor behind a box that looks inside');
  expect(seen.way).toBe('relay tls');
  expect(seen.joinMs).toBeLessThan(WATCHES_WITHIN_MS);
});

test('where nothing passes but TLS to port 443, a host publishes by TURN within TLS', async () => {
  onTestFailed(() => console.log(server.log()));
  await netlab.passOnlyTls(PORT);
  const blocked = await far.visit('a host behind a box that looks inside');
  const behind = await openStudio(blocked, server.url, 'Bea', 'From behind a wall', 'correct horse');
  await prepareCamera(blocked);
  await goLive(blocked);
  await until('the host goes by the relay', () => blocked.look(way), (by) => by === 'relay tls');
  const viewer = await near.visit('a viewer with UDP');
  await watch(viewer, server.url, behind);
  await frames(viewer, 100);
  expect(await viewer.look(protocol)).toBe('udp');
  expect([blocked, viewer].flatMap(({ errors }) => errors)).toEqual([]);
});
