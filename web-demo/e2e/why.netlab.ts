/** A visitor whose network passes no media at all reads why nothing is seen, the host sees how many do, and once it passes the picture comes. Needs root. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { received } from './probe.js';
import { startServerAt } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, prepareCamera } from './visitors.js';

/** The page gives a session eight seconds before it says what is wrong with it. */
const SAYS_WITHIN_MS = 30_000;
const RETURNS_WITHIN_MS = 90_000;
const TITLE = 'Behind a wall';

let netlab: Netlab;
let server: Server;
let near: Browser;
/** Visitors' browsers. */
let far: Record<string, Browser>;
let host: Tab;
let room: string;

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  server = await startServerAt({ namespace: netlab.server, host: netlab.host }, { KLIEG_NEW_ACCOUNT_ROLE: 'host' });
  const away = (namespace: string) => ({ namespace, origin: server.url });
  near = await launchChromium(away(netlab.server));
  far = { Chromium: await launchChromium(away(netlab.visitor)), Firefox: await launchFirefox(away(netlab.visitor)) };
  host = await near.visit('the host');
  await host.open(server.url);
  await host.click('[data-test=sign-in]');
  await host.click('[data-test=to-register]');
  await host.fill('#sign-in-name', 'Ann');
  await host.enter('#sign-in-password', 'correct horse');
  await until('the host is signed in', () => host.look(() => document.querySelector('[data-test=account]') !== null), Boolean);
  await host.click('[data-test=create-room]');
  await host.enter('#create-title', TITLE);
  const path = await until('the studio is there', () => host.look(() => location.pathname), (now) => now.startsWith('/studio/'));
  room = path.slice('/studio/'.length);
  await prepareCamera(host);
  await goLive(host);
});

afterAll(async () => {
  await Promise.allSettled([near, ...Object.values(far ?? {})].map((browser) => browser?.close()));
  await server?.stop();
  await netlab?.close();
});

/** What the page shows, and what it knows to be in the way. */
function player(): { status: string | undefined; trouble: string | undefined } {
  const { status, trouble } = document.querySelector<HTMLElement>('[data-test=status]')?.dataset ?? {};
  return { status, trouble };
}

function overlay(): string {
  return ['words', 'lead'].map((part) => document.querySelector(`[data-test=overlay-${part}]`)?.textContent.trim() ?? '').join(' ');
}

/** Who could not watch, as the studio lists it. */
function blocked(): string {
  return document.querySelector('[data-test=trouble-blocked]')?.textContent.trim() ?? '';
}

test.each([['Chromium', 1], ['Firefox', 2]])('where nothing but the page passes, the visitor in %s reads why and the host sees %d; where all passes again the picture comes', async (name, seen) => {
  onTestFailed(() => console.log(server.log()));
  await netlab.passOnlyTcp([Number(new URL(server.url).port)]);
  const viewer = await far[name]!.visit('a visitor behind a wall');
  await viewer.open(`${server.url}/r/${room}`);
  const began = Date.now();
  expect(await until('the visitor reads why', () => viewer.look(player), ({ trouble }) => trouble !== undefined, SAYS_WITHIN_MS)).toEqual({ status: 'stalled', trouble: 'blocked' });
  console.log(`said after ${Date.now() - began} ms`);
  expect(await viewer.look(overlay)).toBe('Your network or a firewall lets no video through. Try another network, such as mobile data, or switch off a VPN. Still trying…');
  await until('the host sees it', () => host.look(blocked), (text) => text.includes(`${seen} viewer`));
  await netlab.blockUdp(false);
  const freed = Date.now();
  await until('the picture comes', () => viewer.look(received), (now) => now.frames > 0, RETURNS_WITHIN_MS);
  console.log(`a picture ${Date.now() - freed} ms after the wall was gone`);
  await frames(viewer, 30);
  expect(await viewer.look(player)).toEqual({ status: 'playing', trouble: undefined });
  expect(await host.look(blocked), 'what was, was').toContain(`${seen} viewer`);
  expect([...host.errors, ...viewer.errors]).toEqual([]);
  await viewer.close();
}, 240_000);
