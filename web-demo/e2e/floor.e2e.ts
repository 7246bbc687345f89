/** Likes, polls and questions, and who is there, in a real browser. */

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
  const roomId = await openStudio(host, server.url, 'Ann', 'Ask me anything');
  for (const [tab, name] of [[bob, 'Bob'], [cleo, 'Cleo']] as const) {
    await tab.open(`${server.url}/r/${roomId}`);
    await signIn(tab, name);
  }
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('a like counts once, floats up as a heart, and can be taken back', async () => {
  showLogOnFailure();
  await bob.click('[data-test=like]');
  for (const tab of [bob, cleo]) await until(`${tab.name} sees the like`, () => likes(tab), (count) => count === '1');
  await until('a heart floats for Cleo', () => count(cleo, '[data-test=reaction]'), (hearts) => hearts > 0);
  await cleo.click('[data-test=like]');
  await until('Bob sees both', () => likes(bob), (count) => count === '2');
  await bob.click('[data-test=like]');
  await until('Cleo sees hers alone', () => likes(cleo), (count) => count === '1');
  expect(await bob.look(() => document.querySelector('[data-test=like]')?.getAttribute('aria-pressed'))).toBe('false');
});

test('a poll opens for everybody, shows its votes as they come, and closes', async () => {
  showLogOnFailure();
  await host.click('[data-test=side-questions]');
  await host.click('[data-test=poll-open]');
  await host.fill('[data-test=poll-question]', 'Which tea?');
  await host.fill('[data-test=poll-answer-0]', 'Green');
  await host.fill('[data-test=poll-answer-1]', 'Black');
  await host.click('[data-test=poll-start]');
  for (const tab of [host, bob, cleo]) await shows(tab, '[data-test=poll]', 'Which tea?');
  await bob.click('[data-test=poll] li:nth-child(2) [data-test=poll-option]');
  await shows(cleo, '[data-test=poll-votes]', '1 vote');
  await cleo.click('[data-test=poll] li:nth-child(1) [data-test=poll-option]');
  await bob.click('[data-test=poll] li:nth-child(1) [data-test=poll-option]');
  await shows(host, '[data-test=poll] li:nth-child(1)', '100 %');
  await shows(host, '[data-test=poll-votes]', '2 votes');
  await host.click('[data-test=poll-close]');
  await shows(bob, '[data-test=poll]', 'The poll is closed');
});

test('a question is voted up and marked as answered', async () => {
  showLogOnFailure();
  for (const tab of [bob, cleo]) await tab.click('[data-test=side-questions]');
  await bob.enter('[data-test=question-draft]', 'Where is it from?');
  await bob.enter('[data-test=question-draft]', 'Is it organic?');
  for (const tab of [host, cleo]) await shows(tab, '[data-test=questions]', 'Is it organic?');
  await cleo.click('[data-test=question]:nth-child(2) [data-test=question-vote]');
  await shows(bob, '[data-test=question]:nth-child(1)', 'Is it organic?');
  await host.click('[data-test=question]:nth-child(1) [data-test=question-answer]');
  await shows(bob, '[data-test=question]:nth-child(2)', 'Answered');
  await host.click('[data-test=question]:nth-child(1) [data-test=question-remove]');
  await until('it is gone', () => count(bob, '[data-test=question]'), (questions) => questions === 1);
  for (const tab of [host, bob, cleo]) await tab.click('[data-test=side-chat]');
});

test('the host sees who is there, mutes somebody, and lifts it again', async () => {
  showLogOnFailure();
  await host.click('[data-test=people-open]');
  await shows(host, '[data-test=people]', 'Cleo');
  await host.look(() => {
    const rows = [...document.querySelectorAll('[data-test=person]')];
    rows.find((row) => row.textContent?.includes('Cleo'))?.querySelector<HTMLElement>('[data-test=person-mute]')?.click();
  });
  await shows(cleo, '[data-test=chat-note]', 'muted you until');
  await host.look(() => document.querySelector<HTMLDialogElement>('[data-test=people]')?.close());
  await host.click('[data-test=order-open]');
  await shows(host, '[data-test=limit-mutes]', 'Cleo');
  await host.click('[data-test=limit-mutes] [data-test=lift]');
  await cleo.enter('[data-test=chat-draft]', 'I can speak again');
  await reads(bob, 'I can speak again');
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, bob, cleo]) expect(errors, name).toEqual([]);
});

function likes(tab: Tab): Promise<string | null | undefined> {
  return tab.look(() => document.querySelector('[data-test=like]')?.getAttribute('data-count'));
}

async function shows(tab: Tab, selector: string, text: string): Promise<void> {
  await until(`${tab.name} reads “${text}”`, () => tab.look((one) => document.querySelector(one)?.textContent ?? '', selector),
    (shown) => shown.includes(text));
}

function count(tab: Tab, selector: string): Promise<number> {
  return tab.look((one) => document.querySelectorAll(one).length, selector);
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, bob, cleo]) if (errors.length > 0) console.log(name, errors);
  });
}
