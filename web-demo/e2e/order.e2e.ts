/** Order in the chat, kept and felt in real browsers. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { openStudio, reads, signIn } from './visitors.js';

let server: Server;
let chromium: Browser;
let host: Tab;
let bob: Tab;
let cleo: Tab;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  host = await chromium.visit('the host');
  [bob, cleo] = [await chromium.visit('Bob'), await chromium.visit('Cleo')];
  const roomId = await openStudio(host, server.url, 'Ann', 'Order on stage');
  for (const [tab, name] of [[bob, 'Bob'], [cleo, 'Cleo']] as const) {
    await tab.open(`${server.url}/r/${roomId}`);
    await signIn(tab, name);
  }
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('an answer shows what it answers, and the host pins it', async () => {
  showLogOnFailure();
  await bob.enter('[data-test=chat-draft]', 'Which size is it?');
  await reads(cleo, 'Which size is it?');
  await choose(cleo, 'Which size is it?', 'reply');
  await cleo.enter('[data-test=chat-draft]', '@Bob it is M');
  await reads(bob, 'it is M');
  await until('Bob sees what was answered', () => bob.look(() => document.querySelector('[data-test=chat-answered]')?.textContent ?? ''),
    (text) => text.includes('Which size is it?'));
  await choose(host, 'it is M', 'pin');
  await shows(bob, '[data-test=chat-pinned]', 'it is M');
});

test('what the host deletes is gone for everybody', async () => {
  showLogOnFailure();
  await choose(host, 'Which size is it?', 'delete');
  for (const tab of [host, bob, cleo]) {
    await shows(tab, '[data-test=chat-gone]', 'removed');
    await until('the text is gone', () => tab.look(() => document.body.textContent ?? ''), (text) => !text.includes('Which size is it?'));
  }
});

test('one who is muted is told, and keeps the text', async () => {
  showLogOnFailure();
  await choose(host, 'it is M', 'mute');
  await shows(cleo, '[data-test=chat-note]', 'muted you until');
  await cleo.enter('[data-test=chat-draft]', 'let me speak');
  const draft = await cleo.look(() => document.querySelector<HTMLInputElement>('[data-test=chat-draft]')?.value);
  expect(draft).toBe('let me speak');
});

test('a message with a link waits until the host shows it', async () => {
  showLogOnFailure();
  await host.click('[data-test=order-open]');
  await host.choose('[data-test=order-links]', 'hold');
  await host.click('[data-test=order-save]');
  await shows(bob, '[data-test=chat-note]', 'A moderator looks at links first');
  await bob.enter('[data-test=chat-draft]', 'look at shop.example.com');
  await shows(bob, '[data-test=chat-note]', 'A moderator looks at it first');
  await shows(host, '[data-test=held]', 'shop.example.com');
  await host.click('[data-test=held-approve]');
  await reads(bob, 'shop.example.com');
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, bob, cleo]) expect(errors, name).toEqual([]);
});

/** Chooses what to do with a line. */
async function choose(tab: Tab, text: string, deed: string): Promise<void> {
  await reads(tab, text);
  await tab.look((wanted) => {
    const line = [...document.querySelectorAll('[data-test=chat-line]')].find((one) => one.textContent?.includes(wanted));
    line?.querySelector<HTMLElement>('[data-test=chat-actions]')?.click();
  }, text);
  await tab.click(`[data-test=chat-${deed}]`);
}

async function shows(tab: Tab, selector: string, text: string): Promise<void> {
  await until(`${tab.name} reads “${text}”`, () => tab.look((one) => document.querySelector(one)?.textContent ?? '', selector),
    (shown) => shown.includes(text));
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, bob, cleo]) if (errors.length > 0) console.log(name, errors);
  });
}
