/** Every page in every state that visitors meet, on a phone and on a desk, dark and light: nobody is shut out, and each can be pictured. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Scheme } from './browsers.js';
import { chatLines } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isTold, openStudio, prepareCamera, reads, signIn, stop, watch } from './visitors.js';

const SCREENS = resolve(import.meta.dirname, '../../docs/screens');
const SIZES = { phone: [390, 844], desktop: [1280, 800] } as const;
const SCHEMES: readonly Scheme[] = ['dark', 'light'];
/** What WCAG 2.2 asks of level A and AA, and what else is known to be good. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

let server: Server;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let guest: ChromiumTab;
let room: string;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  [host, guest] = await Promise.all([chromium.visit('the host'), chromium.visit('the guest')]);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('the lobby of a dark stage, and its dialogs', async () => {
  showLogOnFailure();
  await guest.open(server.url);
  await sees(guest, 'main h2');
  await picture(guest, 'lobby-empty');
  await guest.click('[data-test=sign-in]');
  await sees(guest, 'dialog[open] #sign-in-name');
  await picture(guest, 'sign-in');
  room = await openStudio(host, server.url, 'Ann', 'Tea tasting: four oolongs from one mountain');
  const second = await host.again('the host once more');
  await second.open(server.url);
  await second.click('[data-test=create-room]');
  await sees(second, 'dialog[open] #create-title');
  await picture(second, 'create-room');
  await second.close();
});

test('the lists of the lobby that have nothing', async () => {
  showLogOnFailure();
  await guest.open(`${server.url}/?show=past`);
  await sees(guest, 'main h2');
  await picture(guest, 'lobby-past-empty');
  await guest.open(`${server.url}/?q=coffee`);
  await sees(guest, '[data-test=clear]');
  await picture(guest, 'lobby-no-match');
});

test('what is announced', async () => {
  showLogOnFailure();
  await announce();
  await guest.open(`${server.url}/?show=upcoming`);
  await sees(guest, '[data-test=begins]');
  await picture(guest, 'lobby-upcoming');
  await guest.click('[data-test=room-card]:has([data-test=begins])');
  await isTold(guest, 'waiting');
  await sees(guest, '[data-test=stage] [data-test=begins]');
  await picture(guest, 'player-countdown');
});

test('a room before the show', async () => {
  showLogOnFailure();
  await prepareCamera(host);
  await picture(host, 'studio-ready');
  await host.click('[data-test=layout-both]');
  await sees(host, '[data-test=screen-controls]');
  await picture(host, 'studio-screen');
  await host.click('[data-test=stop-sharing]');
  await guest.open(`${server.url}/r/${room}`);
  await isTold(guest, 'waiting');
  await picture(guest, 'player-waiting');
});

test('a show with products, a poll, questions and chat', async () => {
  showLogOnFailure();
  await goLive(host);
  await watch(guest, server.url, room);
  await signIn(guest, 'Bob');
  await furnish();
  await frames(guest, 60);
  await reads(guest, 'second infusion');
  await picture(guest, 'player');
  await guest.press('?');
  await sees(guest, 'dialog[open] kbd');
  await picture(guest, 'player-keys');
  await guest.press('Escape');
  await until('the list of keys is gone', () => guest.look(() => document.querySelector('dialog:modal') === null), Boolean);
  await guest.press(' ');
  await until('it is held', () => guest.look(() => document.querySelector<HTMLVideoElement>('[data-test=video]')?.paused), (held) => held === true);
  await picture(guest, 'player-held');
  await guest.press(' ');
  await guest.press('t');
  await picture(guest, 'player-theatre');
  await guest.press('t');
  await guest.click('[data-test=side-questions]');
  await sees(guest, '[data-test=questions]');
  await picture(guest, 'player-questions');
  await guest.click('[data-test=side-products]');
  await sees(guest, '[data-test=product-list]');
  await picture(guest, 'player-products');
  await picture(host, 'studio-live');
  await host.click('[data-test=people-open]');
  await sees(host, 'dialog[open]');
  await picture(host, 'people');
  await host.press('Escape');
  await host.click('[data-test=order-open]');
  await sees(host, 'dialog[open]');
  await picture(host, 'moderation');
  await host.press('Escape');
  const audience = await host.again('the host before the figures');
  await audience.open(`${server.url}/analytics/${room}`);
  await sees(audience, '[data-test=figures]');
  await picture(audience, 'audience');
  await audience.close();
  const other = await guest.again('the guest in the lobby');
  await other.open(server.url);
  await sees(other, 'main a[href^="/r/"]');
  await picture(other, 'lobby');
  await other.close();
});

test('how the picture of a show is doing', async () => {
  showLogOnFailure();
  await guest.press('q');
  await sees(guest, '[data-test=quality-panel]');
  await guest.click('[data-test=quality-facts]');
  await picture(guest, 'player-quality');
  await guest.press('Escape');
});

test('the end of a show, and what is not there', async () => {
  showLogOnFailure();
  await stop(host);
  await isTold(guest, 'ended');
  const numbers = await host.again('the host, with the numbers');
  await numbers.open(`${server.url}/analytics/${room}`);
  await until('somebody has watched', () => numbers.look(() => document.querySelector('[data-test=figure-unique] dd')?.textContent ?? ''), (text) => Number(text) > 0);
  await picture(numbers, 'analytics');
  await numbers.close();
  await sees(guest, '[data-test=next-room]');
  await picture(guest, 'player-ended');
  await guest.open(`${server.url}/?show=past`);
  await sees(guest, '[data-test=room-card]');
  await picture(guest, 'lobby-past');
  await guest.open(`${server.url}/r/nowhere`);
  await sees(guest, 'main h1');
  await picture(guest, 'room-missing');
  await guest.open(`${server.url}/no/such/page`);
  await sees(guest, 'h1, h2');
  await picture(guest, 'page-missing');
});

test('the pages of who looks after the server', async () => {
  showLogOnFailure();
  await server.addAdmin('Root', 'correct horse');
  const root = await chromium.visit('the admin');
  await root.open(`${server.url}/admin`);
  await root.click('main .button-accent');
  await root.enter('#sign-in-name', 'Root');
  await root.enter('#sign-in-password', 'correct horse');
  await sees(root, '[data-test=admin-room]');
  await picture(root, 'admin-rooms');
  await root.click('[data-test=side-webhooks]');
  await sees(root, '[data-test=add-webhook]');
  await picture(root, 'admin-webhooks-empty');
  await root.click('[data-test=add-webhook]');
  await sees(root, 'dialog[open] #webhook-url');
  await root.click('[data-test=all-events]');
  await picture(root, 'admin-webhook-add');
  await root.click('[data-test=all-events]');
  // Nobody listens at the port for discarding.
  await root.enter('#webhook-url', 'http://127.0.0.1:9/klieg');
  await sees(root, '[data-test=secret]');
  await root.click('[data-test=test-webhook]');
  await sees(root, '[data-test=delivery]');
  await until('it failed once', () => root.look(() => document.querySelector('[data-test=delivery]')?.textContent ?? ''), (text) => text.includes('1 attempt'));
  await picture(root, 'admin-webhooks');
  await root.click('[data-test=side-servers]');
  await sees(root, '[data-test=node]');
  await picture(root, 'admin-servers');
  await root.close();
});

/** Looks at a page in each size and scheme: at its picture, where that is asked for, and for what shuts people out. */
async function picture(tab: ChromiumTab, name: string): Promise<void> {
  const found = new Map<string, string[]>();
  const note = (what: string, where: string) => found.set(what, [...found.get(what) ?? [], where]);
  for (const [size, [width, height]] of Object.entries(SIZES)) {
    await tab.resize(width, height);
    for (const scheme of SCHEMES) {
      await tab.dress(scheme);
      // Without motion, what inherits its colour takes the new one a frame after what is around it.
      await tab.look(async () => {
        for (let frame = 0; frame < 20; frame++) await new Promise((resolve) => requestAnimationFrame(resolve));
      });
      const bytes = await tab.picture();
      const sideways = await tab.look(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (sideways > 0) note(`${sideways} px too wide`, size);
      const { violations } = await tab.run<AxeResults>(`${axe.source}; axe.run({ runOnly: ${JSON.stringify(RULES)} })`);
      for (const { id, nodes } of violations) {
        for (const { target, failureSummary } of nodes) note(`${id} at ${target.join(' ')}: ${failureSummary ?? ''}`, `${size} ${scheme}`);
      }
      // Only when asked, so that a test leaves the tree as it was.
      if (process.env['UPDATE_SCREENSHOTS'] !== '1') continue;
      await mkdir(SCREENS, { recursive: true });
      await writeFile(join(SCREENS, `${name}-${size}-${scheme}.png`), bytes);
    }
  }
  expect.soft(Object.fromEntries(found), name).toEqual({});
}

/** Makes rooms as a program of hosts does: two that are announced, and one whose show is over. */
async function announce(): Promise<void> {
  const { accessToken: dao } = await call('auth/login', { username: 'Đào' });
  const at = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
  await call('rooms', { title: 'Lullabies from the Red River', category: 'music', scheduledAt: at(2) }, dao);
  await call('rooms', { title: 'Pruning bonsai in autumn: a long evening with many questions', category: 'garden', scheduledAt: at(50) }, dao);
  const { id } = await call('rooms?start=true', { title: 'Roses in winter', category: 'garden' }, dao);
  await call(`rooms/${id}/end`, {}, dao);
}

/** Calls the server as a program does. */
async function call(path: string, body: unknown, token?: string): Promise<Record<string, string>> {
  const headers = { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } };
  const answer = await fetch(`${server.url}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(answer.ok, `${path}: ${answer.status}`).toBe(true);
  return await answer.json() as Record<string, string>;
}

/** Puts on sale, asks and says what a show has, as a program of the host does. */
async function furnish(): Promise<void> {
  const { accessToken: ann } = await call('auth/login', { username: 'Ann' });
  const { accessToken: cleo } = await call('auth/login', { username: 'Cleo' });
  const product = { price: 1250, currency: 'EUR', buyUrl: 'https://shop.example/' };
  await call(`rooms/${room}/products`, { ...product, name: 'High mountain oolong, 50 g', originalPrice: 1990, stock: 7 }, ann);
  await call(`rooms/${room}/products`, { ...product, name: 'Clay teapot from Yixing, 160 ml', price: 8400 }, ann);
  await call(`rooms/${room}/polls`, { question: 'Which one do we brew next?', options: ['The green one', 'The roasted one'] }, ann);
  await call(`rooms/${room}/questions`, { text: 'How hot should the water be?' }, cleo);
  await call(`rooms/${room}/chat`, { text: 'Good evening from Huế, where it has rained all day and tea is the only answer' }, cleo);
  await call(`rooms/${room}/chat`, { text: 'Welcome, everybody! We start with the light one.' }, ann);
  await call(`rooms/${room}/chat`, { text: 'The second infusion is the best' }, cleo);
  await until('the host reads it', () => host.look(chatLines), (lines) => lines.length >= 3);
}

function sees(tab: ChromiumTab, selector: string): Promise<boolean> {
  return until(`${tab.name} sees ${selector}`, () => tab.look((wanted) => document.querySelector(wanted)?.checkVisibility() === true, selector), Boolean);
}

function showLogOnFailure(): void {
  onTestFailed(() => console.log(server.log()));
}
