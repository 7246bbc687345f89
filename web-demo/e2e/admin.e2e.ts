/** What those who look after a server do on its pages: find and end rooms, tell other servers, take no more. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server as Receiver } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, isTold, openStudio, prepareCamera, watch } from './visitors.js';

const PASSWORD = 'correct horse';

interface Told {
  headers: IncomingHttpHeaders;
  body: { type: string; roomId?: string };
}

let server: Server;
let chromium: Browser;
let root: Tab;
let receiver: Receiver;
/** What the receiver was told, and how it answers. */
const told: Told[] = [];
let answer = 204;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  await server.addAdmin('Root', PASSWORD);
  root = await chromium.visit('the admin');
  receiver = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on('data', (chunk: Uint8Array) => chunks.push(chunk));
    request.on('end', () => {
      told.push({ headers: request.headers, body: JSON.parse(Buffer.concat(chunks).toString()) });
      response.writeHead(answer).end();
    });
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  receiver?.close();
});

beforeEach(() => onTestFailed(() => console.log(server.log())));

/** Returns the words of what is found. */
function texts(tab: Tab, selector: string): Promise<string[]> {
  return tab.look((wanted) => [...document.querySelectorAll(wanted)].map((found) => found.textContent?.replace(/\s+/g, ' ').trim() ?? ''), selector);
}

function reads(tab: Tab, selector: string, words: string): Promise<string[]> {
  return until(`${tab.name} reads “${words}”`, () => texts(tab, selector), (found) => found.some((text) => text.includes(words)));
}

function isGone(tab: Tab, selector: string): Promise<string[]> {
  return until(`${selector} is gone`, () => texts(tab, selector), (found) => found.length === 0);
}

test('who is no admin is told so, and nobody is shown the way', async () => {
  const ann = await chromium.visit('Ann');
  await ann.open(`${server.url}/admin`);
  await ann.click('main .button-accent');
  await ann.enter('#sign-in-name', 'Ann');
  await reads(ann, '[data-test=not-admin]', 'for admins');
  await ann.click('[data-test=account]');
  expect(await texts(ann, '[data-test=to-admin]')).toEqual([]);
  await ann.close();
});

test('an admin finds a room that is not listed, and ends its show', async () => {
  const host = await chromium.visit('the host');
  const guest = await chromium.visit('the guest');
  const room = await openStudio(host, server.url, 'Bea', 'Hidden rehearsal');
  const { accessToken } = await (await fetch(`${server.url}/api/v1/auth/login`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'Bea' }),
  })).json() as { accessToken: string };
  const hidden = await fetch(`${server.url}/api/v1/rooms/${room}`, {
    method: 'PATCH', headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` }, body: JSON.stringify({ visibility: 'unlisted' }),
  });
  expect(hidden.status).toBe(200);
  await prepareCamera(host);
  await goLive(host);
  await watch(guest, server.url, room);

  await root.open(server.url);
  await root.click('[data-test=sign-in]');
  await root.enter('#sign-in-name', 'Root');
  await root.enter('#sign-in-password', PASSWORD);
  await until('Root is signed in', () => texts(root, '[data-test=account]'), (found) => found.length === 1);
  await root.click('[data-test=account]');
  await root.click('[data-test=to-admin]');
  await reads(root, '[data-test=admin-room]', 'Hidden rehearsal');
  await root.choose('[data-test=room-visibility]', 'private');
  await isGone(root, '[data-test=admin-room]');
  await root.choose('[data-test=room-visibility]', 'unlisted');
  await root.fill('[data-test=room-search]', 'rehear');
  await reads(root, '[data-test=admin-room]', 'live');
  await root.click('[data-test=end-room]');
  await root.click('dialog[open] [data-test=confirm-yes]');
  await isTold(guest, 'ended');
  await isGone(root, '[data-test=end-room]');
  await host.close();
  await guest.close();
});

test('another server is told of what happens, signed, and again when it is asked for', async () => {
  const { port } = receiver.address() as AddressInfo;
  await root.click('[data-test=side-webhooks]');
  await root.click('[data-test=add-webhook]');
  await root.enter('#webhook-url', 'http://10.1.2.3/hook');
  await reads(root, '[data-test=webhook-problem]', 'address');
  await root.fill('#webhook-description', 'The shop');
  await root.enter('#webhook-url', `http://127.0.0.1:${port}/hook`);
  const [secret] = await reads(root, '[data-test=secret]', 'whsec_');
  expect(secret).toMatch(/whsec_\S{20,}/);

  await root.click('[data-test=test-webhook]');
  await reads(root, '[data-test=delivery-outcome]', 'told');
  expect(told.map(({ body }) => body.type)).toEqual(['test']);
  expect(told[0]!.headers['webhook-signature']).toMatch(/^v1,/);
  await root.click('[data-test=replay]');
  await until('it is told again', () => Promise.resolve(told.length), (count) => count === 2);
  expect(told[1]!.headers['webhook-id']).toBe(told[0]!.headers['webhook-id']);

  answer = 500;
  await root.click('[data-test=test-webhook]');
  await reads(root, '[data-test=delivery]', 'it answered 500');
  await root.choose('[data-test=delivery-status]', 'delivered');
  await until('only what was told is listed', () => texts(root, '[data-test=delivery-outcome]'), (found) => found.length === 1 && found[0] === 'told');

  await root.click('[data-test=new-secret]');
  await until('there is another secret', () => texts(root, '[data-test=secret]'), ([text]) => text !== undefined && text !== secret);
  await root.click('[data-test=enable-webhook]');
  await reads(root, '[data-test=webhook-state]', 'Switched off');
  await root.click('[data-test=remove-webhook]');
  await root.click('dialog[open] [data-test=confirm-yes]');
  await isGone(root, '[data-test=webhook]');
});

test('a server that is to take no more says so, until it is taken back', async () => {
  const ready = async () => (await fetch(`${server.url}/readyz`)).status;
  await root.click('[data-test=side-servers]');
  await reads(root, '[data-test=node]', 'Klieg');
  await root.click('[data-test=drain]');
  await root.click('dialog[open] [data-test=confirm-no]');
  expect(await ready()).toBe(200);
  await root.click('[data-test=drain]');
  await root.click('dialog[open] [data-test=confirm-yes]');
  await reads(root, '[data-test=node]', 'takes nobody new');
  expect(await ready()).toBe(503);
  await root.click('[data-test=take-back]');
  await until('it is taken back', ready, (status) => status === 200);
  // What the browser says of answers that refuse is no fault of the page.
  expect(root.errors.filter((error) => !error.startsWith('Failed to load resource'))).toEqual([]);
});
