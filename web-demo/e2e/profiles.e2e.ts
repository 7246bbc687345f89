/** The names and pictures that the operator's own service has of people, in a real browser. */

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab } from './browsers.js';
import { makeCertificate } from './certificate.js';
import type { Certificate } from './certificate.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { openStudio, signIn } from './visitors.js';

const NAMES = ['Dr Ann Lee', 'Bob Tran'];
const FACE = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64" fill="#264"/><circle cx="32" cy="26" r="13" fill="#fd9"/><circle cx="32" cy="62" r="22" fill="#fd9"/></svg>';

let certificate: Certificate;
let pictures: SecureServer;
let server: Server;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let guest: ChromiumTab;
let roomId: string;
/** The first who comes is Ann and has a picture; that of the second is gone. */
const known = new Map<string, number>();
const people = createServer((request, response) => {
  const id = request.url ?? '';
  const index = known.get(id) ?? known.size;
  known.set(id, index);
  const { port } = pictures.address() as AddressInfo;
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ name: NAMES[index], avatarUrl: `https://127.0.0.1:${port}/${index}.svg` }));
});

beforeAll(async () => {
  certificate = await makeCertificate();
  const [cert, key] = await Promise.all([readFile(certificate.file), readFile(certificate.key)]);
  pictures = createSecureServer({ cert, key }, (request, response) => {
    const there = request.url === '/0.svg';
    response.writeHead(there ? 200 : 404, { 'content-type': 'image/svg+xml' });
    response.end(there ? FACE : undefined);
  });
  await once(pictures.listen(0, '127.0.0.1'), 'listening');
  await once(people.listen(0, '127.0.0.1'), 'listening');
  const { port } = people.address() as AddressInfo;
  server = await startServer({ KLIEG_PROFILE_URL: `http://127.0.0.1:${port}/{id}` });
  chromium = await launchChromium(undefined, certificate.hash);
  [host, guest] = await Promise.all([chromium.visit('the host'), chromium.visit('the guest')]);
  roomId = await openStudio(host, server.url, 'ann', 'Tea time');
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  people.close();
  pictures?.close();
  await certificate?.remove();
});

test('a room shows the picture and the name of its host', async () => {
  showLogOnFailure();
  await guest.open(server.url);
  const card = `main a[href='/r/${roomId}']`;
  await shows(guest, card, 'Dr Ann Lee');
  await loads(guest, `${card} [data-test=avatar]`);
  await guest.open(`${server.url}/r/${roomId}`);
  await loads(guest, 'main [data-test=avatar]');
});

test('who has a picture has it in the chat, and one that is gone gives way to an initial', async () => {
  showLogOnFailure();
  await host.enter('[data-test=chat-draft]', 'Welcome to the tasting: four oolongs from one mountain');
  await shows(guest, '[data-test=chat-line]', 'Dr Ann Lee');
  await loads(guest, '[data-test=chat-line] [data-test=avatar]');
  await signIn(guest, 'bob');
  await guest.enter('[data-test=chat-draft]', 'Hello');
  await shows(host, '[data-test=chat-line]:last-of-type', 'Bob Tran');
  await until('the initial takes its place', () => host.look(() => {
    const line = [...document.querySelectorAll('[data-test=chat-line]')].at(-1);
    return line?.querySelector('img') === null ? line.textContent?.trim().slice(0, 1) : undefined;
  }), (initial) => initial === 'B');
  expect(server.log()).not.toContain('cannot be asked');
});

async function shows(tab: ChromiumTab, selector: string, text: string): Promise<void> {
  const read = () => tab.look((given) => document.querySelector(given)?.textContent ?? '', selector);
  await until(`${tab.name} sees ${text}`, read, (seen) => seen.includes(text));
}

/** Waits until a picture is there, and not only its frame. */
async function loads(tab: ChromiumTab, selector: string): Promise<void> {
  const read = () => tab.look((given) => document.querySelector<HTMLImageElement>(given)?.naturalWidth ?? 0, selector);
  await until(`${tab.name} sees a picture`, read, (width) => width > 0);
}

function showLogOnFailure(): void {
  onTestFailed(() => { console.error(server.log()); });
}
