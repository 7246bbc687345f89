/** `<klieg-player>` on a page of another site, whose policy allows nothing but it, in real browsers. */

import { createServer } from 'node:http';
import type { Server as Site } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import type { KliegPlayer } from '../client/src/player.js';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, openStudio, prepareCamera, stop } from './visitors.js';

const PLAYER = join(import.meta.dirname, '../dist/player.js');

let server: Server;
let site: Site;
let address: string;
let chromium: Browser<ChromiumTab>;
let firefox: Browser;
let host: ChromiumTab;
let guest: ChromiumTab;
let foreign: Tab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  [host, guest, foreign] = await Promise.all([chromium.visit('the host'), chromium.visit('the guest'), firefox.visit('the Firefox guest')]);
  roomId = await openStudio(host, server.url, 'Ann', 'Tea on a page of others');
  await prepareCamera(host);
  await goLive(host);
  site = await startSite();
  address = `http://127.0.0.1:${(site.address() as AddressInfo).port}`;
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  site?.close();
  await server?.stop();
});

test.each(['Chromium', 'Firefox'])('a page of another site shows a room by one element in %s', async (name) => {
  showLogOnFailure();
  const visitor = name === 'Firefox' ? foreign : guest;
  await visitor.open(address);
  await until('frames come', () => visitor.look(seen), ({ frames, status }) => frames >= 30 && status === 'playing');
  const { peers, words } = await visitor.look(seen);
  expect([peers, words]).toEqual([1, 'Live']);
});

test('one press brings the sound', async () => {
  showLogOnFailure();
  expect(await guest.look(seen)).toMatchObject({ muted: true });
  // Playwright finds what is in a shadow, by its name for those who hear the page.
  await guest.click('role=button[name="Tap to unmute"]');
  await until('it is loud', () => guest.look(seen), ({ muted, focus }) => !muted && focus.includes('sound'));
  await guest.press('Enter');
  await until('it is silent', () => guest.look(seen), ({ muted }) => muted === true);
});

test('nobody is shut out of it', async () => {
  showLogOnFailure();
  const { violations } = await guest.run<AxeResults>(`${axe.source}; axe.run()`);
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`)).toEqual([]);
});

test('a page speaks with it: another room, the numbers, an end', async () => {
  showLogOnFailure();
  const change = (id: string) => guest.look((room) => { document.querySelector('klieg-player')!.room = room; }, id);
  await change('nowhere');
  await until('there is none', () => guest.look(seen), ({ words }) => words === 'This room does not exist, or is not open to you.');
  await change(roomId);
  await until('frames come again', () => guest.look(seen), ({ frames, status }) => frames >= 10 && status === 'playing');
  await stop(host);
  await until('it is over', () => guest.look(seen), ({ status }) => status === 'ended');
  expect(await guest.look(seen)).toMatchObject({ words: 'The show has ended' });
});

test('an element that is taken from the page leaves the room', async () => {
  showLogOnFailure();
  await guest.look(() => document.querySelector('klieg-player')!.remove());
  await until('it is gone', () => guest.look(() => window.kliegPeers.map(({ connectionState }) => connectionState)), (states) => states.every((state) => state === 'closed'));
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, foreign]) expect(errors, name).toEqual([]);
  // The browser reports each answer with a status above 399, and this is the one to the room that is none.
  expect(guest.errors.filter((error) => !error.includes('/rooms/nowhere/join'))).toEqual([]);
});

/** What the element shows and tells. */
async function seen() {
  const player = document.querySelector('klieg-player') as KliegPlayer | null;
  const stats = await player?.stats();
  const line = player?.shadowRoot?.querySelector('[part=status]');
  return {
    peers: window.kliegPeers.length, frames: stats?.framesDecoded ?? 0, status: player?.status.kind, muted: player?.muted, words: line?.textContent,
    focus: player?.shadowRoot?.activeElement?.getAttribute('part') ?? '',
  };
}

/** Serves a page with the element, and the file that defines it. */
async function startSite(): Promise<Site> {
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>A shop</title>
<link rel="icon" href="${server.url}/favicon.svg">
<script type="module" src="player.js"></script><main><h1>Tea</h1><klieg-player room="${roomId}" server="${server.url}"></klieg-player></main></html>`;
  const policy = `default-src 'none'; script-src 'self'; img-src ${server.url}; connect-src ${server.url} ${server.url.replace('http', 'ws')}`;
  const made = createServer(async (request, response) => {
    const isPage = request.url === '/';
    response.setHeader('content-type', isPage ? 'text/html' : 'text/javascript');
    response.setHeader('content-security-policy', policy);
    response.end(isPage ? page : await readFile(PLAYER));
  });
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return made;
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, guest, foreign]) if (errors.length > 0) console.log(name, errors);
  });
}
