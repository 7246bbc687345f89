/** Which addresses the server tells, and that Chromium watches by them: IPv6 alone, behind NAT 1:1, and where one family goes away. Needs root. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { addresses, framesSent, makeRoom, publishLayers, received } from './probe.js';
import { binary, startServerAt } from './server.js';
import type { Place, Server } from './server.js';
import { frames, watch } from './visitors.js';

const SETTINGS = { KLIEG_NEW_ACCOUNT_ROLE: 'host' };
const STUN_PORT = 3478;
const MEDIA_PORT = 7900;

/** What ends after a test, the last that began first. */
const open: { close(): Promise<void> }[] = [];

afterEach(async () => {
  // A browser's folder goes with it, and the next one is begun from where this process is.
  process.chdir(import.meta.dirname);
  for (const it of open.splice(0).reverse()) await it.close();
});

test('where there is IPv6 alone, the server tells that alone, and a visitor publishes and watches', async () => {
  const netlab = await begin();
  const v6 = await netlab.addIpv6();
  await netlab.removeFamily(4);
  const server = await serve({ namespace: netlab.server, host: `[${v6.server}]`, media: '[::]' });
  const viewer = await watches(netlab, server.url);
  expect(await viewer.look(addresses)).toEqual({ goes: v6.server, told: [v6.server] });
});

test('behind NAT 1:1 the server tells the public address that the settings name', async () => {
  const netlab = await begin();
  const home = await netlab.addHome();
  const server = await serve(home, { KLIEG_MEDIA_ADDRESSES: `[${netlab.host}]` });
  const viewer = await watches(netlab, outside(server, netlab));
  expect(await viewer.look(addresses)).toEqual({ goes: netlab.host, told: [netlab.host] });
});

test('behind NAT 1:1 the server finds the public address by asking a STUN server', async () => {
  const netlab = await begin();
  const home = await netlab.addHome();
  // Another Klieg's relay, outside, answers who asks.
  await serve({ namespace: netlab.visitor, host: netlab.guest }, { KLIEG_RELAY_LISTEN: `${netlab.guest}:${STUN_PORT}` });
  const server = await serve({ ...home, media: '0.0.0.0' }, { KLIEG_STUN_DISCOVERY: `["${netlab.guest}:${STUN_PORT}"]` });
  const viewer = await watches(netlab, outside(server, netlab));
  expect(await viewer.look(addresses)).toEqual({ goes: netlab.host, told: [netlab.host, home.host] });
});

test('behind NAT 1:1 a check has a TURN server outside try to reach the media port, and says whether it does', async () => {
  const netlab = await begin();
  const home = await netlab.addHome();
  const told = `${netlab.host}:${MEDIA_PORT}`;
  const secret = { KLIEG_TURN_SECRET: 'a secret of some length' };
  await serve({ namespace: netlab.visitor, host: netlab.guest }, { ...secret, KLIEG_RELAY_LISTEN: `${netlab.guest}:${STUN_PORT}`, KLIEG_RELAY_ALLOW_PEERS: `["${told}"]` });
  const check = () => checkReach(home.namespace, netlab, secret);
  expect(await check()).toContain(`ok       --turn ${netlab.guest}:${STUN_PORT}: reaches ${told} by UDP`);
  await promisify(execFile)('ip', ['netns', 'exec', netlab.server, 'nft', 'flush', 'chain', 'ip', 'home', 'in']);
  expect(await check()).toContain(`does not reach ${told} by UDP: have the firewall let it in, or the router lead it to this machine`);
});

test('who watches by one family goes on by the other where the first goes away', async () => {
  const netlab = await begin();
  const v6 = await netlab.addIpv6();
  const server = await serve({ namespace: netlab.server, host: netlab.host, media: '[::]' });
  const viewer = await watches(netlab, server.url);
  const before = await viewer.look(addresses);
  expect(before, 'browsers prefer it').toEqual({ goes: v6.server, told: [netlab.host, v6.server] });
  const { peers } = await viewer.look(received);
  const began = Date.now();
  await netlab.removeFamily(6, 'visitor');
  await until('the visitor goes by IPv4', () => viewer.look(addresses), ({ goes }) => goes === netlab.host, 60_000);
  const { frames: seen } = await viewer.look(received);
  await frames(viewer, seen + 60);
  console.log(`goes on by IPv4 after ${Date.now() - began} ms, ${(await viewer.look(received)).peers - peers} connections more`);
});

async function begin(): Promise<Netlab> {
  const netlab = await startNetlab();
  open.push(netlab);
  await netlab.meet({ delay: 20 }, { delay: 20 });
  return netlab;
}

async function serve(place: Place, settings: Record<string, string> = {}): Promise<Server> {
  const server = await startServerAt(place, { ...SETTINGS, ...settings });
  open.push({ close: () => server.stop() });
  onTestFailed(() => console.log(server.log()));
  return server;
}

/** Returns what a check says of a TURN server outside and this machine. */
async function checkReach(namespace: string, netlab: Netlab, settings: Record<string, string>): Promise<string> {
  const data = await mkdtemp(join(tmpdir(), 'klieg-check-'));
  const flags = ['--data', data, '--http', '127.0.0.1:0', '--media', `0.0.0.0:${MEDIA_PORT}`, '--media-address', netlab.host, '--turn', `${netlab.guest}:${STUN_PORT}`];
  const env = { ...process.env, ...settings };
  const said = await promisify(execFile)('ip', ['netns', 'exec', namespace, binary, 'check', ...flags], { env })
    .catch((error: { stdout: string; stderr: string }) => error);
  await rm(data, { recursive: true, force: true });
  return said.stdout + said.stderr;
}

/** The server's address as it is from outside of its router. */
function outside(server: Server, netlab: Netlab): string {
  return `http://${netlab.host}:${new URL(server.url).port}`;
}

/** Publishes and watches from the visitor's network, and prints how long the picture took. */
async function watches(netlab: Netlab, url: string): Promise<Tab> {
  const browser: Browser<ChromiumTab> = await launchChromium({ namespace: netlab.visitor, origin: url });
  open.push(browser);
  const host = await browser.visit('the host');
  await host.open(url);
  const made = await host.look(makeRoom);
  await host.look(publishLayers, JSON.stringify({ ...made, rates: [100_000, 300_000, 1_200_000], squares: 4 }));
  await until('the host sends', () => host.look(framesSent), (sent) => (sent['f'] ?? 0) > 30);
  const viewer = await browser.visit('a visitor');
  const began = Date.now();
  await watch(viewer, url, made.room);
  console.log(`watches ${url} after ${Date.now() - began} ms`);
  await frames(viewer, 60);
  expect(host.errors).toEqual([]);
  return viewer;
}
