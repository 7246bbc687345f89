/** Accounts on the pages: made, signed in and out, here and everywhere, and a sign-in that goes on when its tokens end. */

import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { sentences } from './probe.js';
import { startServerForAccounts } from './server.js';
import type { Server } from './server.js';

const PASSWORD = 'correct horse';

let server: Server;
let chromium: Browser;

beforeAll(async () => {
  // Access tokens end while the pages are open.
  server = await startServerForAccounts({
    KLIEG_NEW_ACCOUNT_ROLE: 'host', KLIEG_ACCESS_TOKEN_TTL_S: '2', KLIEG_SOCKET_PING_MS: '500', KLIEG_SIGN_INS_PER_MINUTE: '0',
  });
  chromium = await launchChromium();
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

beforeEach(() => onTestFailed(() => console.log(server.log())));

/** Returns who the page says is signed in. */
function signedInAs(): string {
  return document.querySelector('[data-test=account]')?.getAttribute('aria-label') ?? '';
}

function problem(): string {
  return document.querySelector('[data-test=sign-in-problem]')?.textContent.trim() ?? '';
}

/** What the visitor's browser keeps of the sign-in. */
function kept(): { accessToken?: string; refreshToken?: string } {
  return JSON.parse(localStorage.getItem('klieg.sign-in') ?? '{}');
}

function focused(): string {
  return document.activeElement?.id ?? '';
}

async function fill(tab: Tab, name: string, password: string): Promise<void> {
  await tab.fill('#sign-in-name', name);
  await tab.enter('#sign-in-password', password);
}

async function isSignedIn(tab: Tab, name: string): Promise<void> {
  await until(`${name} is signed in`, () => tab.look(signedInAs), (who) => who === `Signed in as ${name}`);
}

async function isSignedOut(tab: Tab): Promise<void> {
  await until(`${tab.name} is signed out`, () => tab.look(() => document.querySelector('[data-test=sign-in]') !== null), Boolean);
}

async function signIn(tab: Tab, name: string, password = PASSWORD): Promise<void> {
  await tab.open(server.url);
  await tab.click('[data-test=sign-in]');
  await fill(tab, name, password);
  await isSignedIn(tab, name);
}

async function menu(tab: Tab, item: string): Promise<void> {
  await tab.click('[data-test=account]');
  await tab.click(`[data-test=${item}]`);
}

test('a visitor makes an account, is told what a password needs, and is still signed in after a reload', async () => {
  const ann = await chromium.visit('Ann');
  await ann.open(server.url);
  await ann.click('[data-test=sign-in]');
  await ann.click('[data-test=to-register]');
  await fill(ann, 'Ann', 'aaaaaaaaaaaa');
  const easy = await until('the password is refused', () => ann.look(problem), (text) => text !== '');
  expect(easy).toContain('4 of them different');
  expect(await ann.look(focused)).toBe('sign-in-password');
  await fill(ann, 'Ann', PASSWORD);
  await isSignedIn(ann, 'Ann');
  await ann.open(server.url);
  await isSignedIn(ann, 'Ann');
  await menu(ann, 'sign-out');
  await isSignedOut(ann);
  expect(await ann.look(kept)).toEqual({});
});

test('a name that is taken and a wrong password are told where they can be mended', async () => {
  const tab = await chromium.visit('a newcomer');
  await tab.open(server.url);
  await tab.click('[data-test=sign-in]');
  await tab.click('[data-test=to-register]');
  await fill(tab, 'ann', PASSWORD);
  expect(await until('the name is taken', () => tab.look(problem), (text) => text !== '')).toContain('Choose another one');
  expect(await tab.look(focused)).toBe('sign-in-name');
  await tab.click('[data-test=to-sign-in]');
  await fill(tab, 'ann', 'correct horsf');
  expect(await until('the password is wrong', () => tab.look(problem), (text) => text !== '')).toBe('The name or the password is wrong.');
  expect(await tab.look(focused)).toBe('sign-in-password');
  await fill(tab, 'ann', PASSWORD);
  await isSignedIn(tab, 'Ann');
});

test('a sign-in goes on when its tokens end, in every tab', async () => {
  const ann = await chromium.visit('Ann');
  await signIn(ann, 'Ann');
  const second = await ann.again('her second tab');
  await second.open(server.url);
  await isSignedIn(second, 'Ann');
  const before = await ann.look(kept);
  // The lobby asks every few seconds: with tokens that have ended both ask for others, and each refresh token is good once.
  await until('both tabs have had other tokens', () => ann.look(kept), ({ accessToken }) => accessToken !== before.accessToken);
  const then = await ann.look(kept);
  await until('and others again', () => second.look(kept), ({ accessToken }) => accessToken !== then.accessToken);
  await second.click('[data-test=create-room]');
  await second.enter('#create-title', 'After the token');
  await until('she is in the studio', () => second.look(() => location.pathname), (path) => path.startsWith('/studio/'));
  await second.open(server.url);
  await menu(second, 'sign-out');
  await isSignedOut(second);
  await isSignedOut(ann);
});

test('signing out everywhere signs out a phone, which reads so and can sign in again', async () => {
  const desk = await chromium.visit('the desk');
  await desk.open(server.url);
  await desk.click('[data-test=sign-in]');
  await desk.click('[data-test=to-register]');
  await fill(desk, 'Bea', PASSWORD);
  await isSignedIn(desk, 'Bea');
  const phone = await chromium.visit('the phone');
  await phone.resize(390, 844);
  await signIn(phone, 'Bea');
  await menu(desk, 'sign-out-everywhere');
  await desk.click('[data-test=confirm-yes]');
  await isSignedOut(desk);
  await until('the phone is told', () => phone.look(sentences), (words) => words.includes('You were signed out.'));
  expect(await phone.look(kept)).toEqual({});
  await phone.click('[data-test=signed-out] button');
  await fill(phone, 'Bea', PASSWORD);
  await isSignedIn(phone, 'Bea');
  expect(await phone.look(sentences)).not.toContain('You were signed out.');
});

test('a new password ends every other sign-in, and the old one is good for nothing', async () => {
  const desk = await chromium.visit('the desk');
  await desk.open(server.url);
  await desk.click('[data-test=sign-in]');
  await desk.click('[data-test=to-register]');
  await fill(desk, 'Dan', PASSWORD);
  await isSignedIn(desk, 'Dan');
  const phone = await chromium.visit('the phone');
  await signIn(phone, 'Dan');
  const told = (): string => document.querySelector('[data-test=password-problem], [data-test=password-changed]')?.textContent.trim() ?? '';
  const change = async (present: string, next: string): Promise<string> => {
    await desk.fill('#password-present', present);
    await desk.enter('#password-next', next);
    return until('the answer is there', () => desk.look(told), (text) => text !== '');
  };
  await menu(desk, 'change-password');
  expect(await change('wrong horse', 'battery staple')).toBe('That is not your present password.');
  expect(await desk.look(focused)).toBe('password-present');
  expect(await change(PASSWORD, 'aaaaaaaaaaaa')).toContain('4 of them different');
  expect(await desk.look(focused)).toBe('password-next');
  expect(await change(PASSWORD, 'battery staple')).toContain('Your password was changed.');
  await isSignedOut(phone);
  await phone.click('[data-test=signed-out] button');
  await fill(phone, 'Dan', PASSWORD);
  expect(await until('the old one is refused', () => phone.look(problem), (text) => text !== '')).toBe('The name or the password is wrong.');
  await fill(phone, 'Dan', 'battery staple');
  await isSignedIn(phone, 'Dan');
  await desk.open(server.url);
  await isSignedIn(desk, 'Dan');
});

test('who tries too often is told how long to wait', async () => {
  const strict = await startServerForAccounts({ KLIEG_SIGN_INS_PER_MINUTE: '2' });
  try {
    const tab = await chromium.visit('a guesser');
    await tab.open(strict.url);
    await tab.click('[data-test=sign-in]');
    const told: string[] = [];
    for (const guess of ['guess 1', 'guess 2', 'guess 3']) {
      await fill(tab, 'Cy', guess);
      told.push(await until('the answer is there', () => tab.look(problem), (said) => said !== ''));
    }
    expect(told[1]).toBe('The name or the password is wrong.');
    expect(told[2]).toMatch(/^Too many tries\. Try again in \d+ seconds\.$/);
  } finally {
    await strict.stop();
  }
});
