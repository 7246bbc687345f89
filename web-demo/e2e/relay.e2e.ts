/** Visitors who go by the server's own TURN relay alone, in a real browser. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium } from './browsers.js';
import type { Browser } from './browsers.js';
import { makeCertificate } from './certificate.js';
import type { Certificate } from './certificate.js';
import { way } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, watch } from './visitors.js';

let certificate: Certificate;
let server: Server;
let chromium: Browser;
let room: string;

beforeAll(async () => {
  certificate = await makeCertificate();
  server = await startServer({
    KLIEG_TLS_CERT: certificate.file, KLIEG_TLS_KEY: certificate.key,
    KLIEG_RELAY_LISTEN: '127.0.0.1:0', KLIEG_RELAY_HOST: '127.0.0.1',
  });
  chromium = await launchChromium(undefined, certificate.hash);
  const host = await chromium.visit('the host');
  room = await openStudio(host, server.url, 'Ann', 'By another way');
  await prepareCamera(host);
  await goLive(host);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  await certificate?.remove();
});

test.each([
  ['udp', '^turn:.*=udp$'],
  ['tcp', '^turn:.*=tcp$'],
  ['tls', '^turns:'],
])('a viewer who comes to the relay by %s watches', async (protocol, urls) => {
  onTestFailed(() => console.log(server.log()));
  const viewer = await chromium.visit(`the viewer by ${protocol}`);
  await viewer.open(`${server.url}/`);
  await viewer.look((pattern) => sessionStorage.setItem('test-relay', pattern), urls);
  await watch(viewer, server.url, room);
  await frames(viewer, 100);
  expect(await viewer.look(way)).toBe(`relay ${protocol}`);
  expect(viewer.errors).toEqual([]);
  await viewer.close();
});

test('a host who goes by the relay alone publishes, and is watched', async () => {
  onTestFailed(() => console.log(server.log()));
  const [host, viewer] = [await chromium.visit('the far host'), await chromium.visit('the near viewer')];
  await host.open(`${server.url}/`);
  await host.look(() => sessionStorage.setItem('test-relay', '^turn:.*=udp$'));
  const far = await openStudio(host, server.url, 'Bea', 'From behind a wall');
  await prepareCamera(host);
  await goLive(host);
  await watch(viewer, server.url, far);
  await frames(viewer, 100);
  expect(await host.look(way)).toBe('relay udp');
  expect([host, viewer].flatMap((visitor) => visitor.errors)).toEqual([]);
});
