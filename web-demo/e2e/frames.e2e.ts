/** What a host does reaches each viewer together with the frame that was captured as it happened, however long that waits. */

import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { act, paint, seen, send, waited, watchLight } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, openStudio, prepareCamera, watch } from './visitors.js';

/** Browsers tell the age of a picture to a frame or two, and a small machine paints late. */
const TOGETHER_MS = 150;
/** Three requests of a page are on their way for a while, and so is what is drawn for them: a busy machine took half a second. */
const LATE_MS = 1000;
const SECRET = 'what the shop and the server both know';

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewers: Tab[];
let roomId: string;
let token: string;

beforeAll(async () => {
  server = await startServer({ KLIEG_ORDER_HOOK_SECRET: SECRET });
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  roomId = await openStudio(host, server.url, 'Ann', 'Look here');
  await sell();
  await prepareCamera(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test.each([1000, 0])('where pictures wait %i ms, a product is featured as its frame is shown', async (delayMs) => {
  onTestFailed(() => console.log(server.log()));
  await host.choose('#delay', String(delayMs));
  if (delayMs > 0) {
    await goLive(host);
    await host.look(paint);
  }
  // Anew each time: Firefox decodes on and draws nothing for up to 20 s when a wait of a second becomes none.
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map((viewer) => frames(viewer, 60)));
  const waits = ({ video }: { video: number }) => delayMs > 0 ? video > 900 && video < 1300 : video < 250;
  for (const viewer of viewers) await until(`${viewer.name} waits ${delayMs} ms`, () => viewer.look(waited), waits);
  await Promise.all(viewers.map((viewer) => viewer.look(watchLight)));

  const at = await host.look(act, 'light');
  for (const viewer of viewers) {
    const { light, card } = await until(`${viewer.name} sees both`, () => viewer.look(seen), (seen) => seen.light !== undefined && seen.card !== undefined);
    const [picture, product] = [Math.round(light! - at), Math.round(card! - at)];
    console.log(`${viewer.name}, ${delayMs} ms: picture after ${picture} ms, product after ${product} ms, difference ${product - picture} ms`);
    expect.soft(Math.abs(product - picture), viewer.name).toBeLessThan(TOGETHER_MS);
    if (delayMs > 0) expect.soft(product, viewer.name).toBeGreaterThan(delayMs - TOGETHER_MS);
    else expect.soft(product, viewer.name).toBeLessThan(1000 - TOGETHER_MS);
  }
  await host.look(act, 'dark');
  for (const viewer of viewers) {
    await until(`${viewer.name} sees neither`, () => viewer.look(() => document.querySelector('[data-test=featured]') === null), Boolean);
  }
  if (delayMs > 0) await othersComeToo(delayMs);
});

/** What is asked, announced and bought comes with its frame, too. */
async function othersComeToo(delayMs: number): Promise<void> {
  for (const viewer of viewers) await viewer.look(watchLight);
  const bearer = { authorization: `Bearer ${token}` };
  const requests = [
    request(`rooms/${roomId}/polls`, { question: 'More?', options: ['Yes', 'No'] }, bearer),
    request(`rooms/${roomId}/chat`, { text: 'Now', kind: 'system' }, bearer),
    order(),
  ];
  const at = await host.look(send, JSON.stringify(requests));
  for (const viewer of viewers) {
    const all = await until(`${viewer.name} sees all`, () => viewer.look(seen), (seen) => [seen.light, seen.poll, seen.announcement, seen.toast].every((when) => when !== undefined));
    for (const what of ['poll', 'announcement', 'toast'] as const) {
      const [picture, shown] = [Math.round(all.light! - at), Math.round(all[what]! - at)];
      console.log(`${viewer.name}, ${delayMs} ms: picture after ${picture} ms, ${what} after ${shown} ms, difference ${shown - picture} ms`);
      expect.soft(shown - picture, `${viewer.name}, ${what}`).toBeGreaterThan(-TOGETHER_MS);
      expect.soft(shown - picture, `${viewer.name}, ${what}`).toBeLessThan(LATE_MS);
      expect.soft(shown, `${viewer.name}, ${what}`).toBeGreaterThan(delayMs - TOGETHER_MS);
    }
  }
  await host.look(() => window.kliegPaint(false));
}

function request(path: string, body: object, headers: Record<string, string>): [string, object] {
  return [`/api/v1/${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }];
}

/** An order, signed as a shop does. */
function order(): [string, object] {
  const body = { orderId: 'o-1', roomId, productName: 'Tea', displayName: 'Bob', amount: 450, currency: 'EUR' };
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', SECRET).update(`${timestamp}.${JSON.stringify(body)}`).digest('hex');
  return request('hooks/orders', body, { 'x-klieg-timestamp': timestamp, 'x-klieg-signature': `v1=${signature}` });
}

test('an announcement is over the picture with its frame, and in the chat', async () => {
  onTestFailed(() => console.log(server.log()));
  await host.click('[data-test=chat-announce]');
  await host.enter('[data-test=chat-draft]', 'The tea is ready');
  for (const tab of [host, ...viewers]) {
    await until(`${tab.name} reads it`, () => tab.look(() => document.querySelector('[data-test=announcement]')?.textContent ?? ''), (text) => text.includes('The tea is ready'));
    const lines = await tab.look(() => document.querySelector('[data-test=chat-list]')?.textContent ?? '');
    expect(lines, tab.name).toContain('The tea is ready');
  }
  const pressed = await host.look(() => document.querySelector('[data-test=chat-announce]')?.getAttribute('aria-pressed'));
  expect(pressed, 'the next line is for the chat').toBe('false');
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, ...viewers]) expect(errors, name).toEqual([]);
});

/** Puts a product on sale, as a program of the host does. */
async function sell(): Promise<void> {
  const post = async (path: string, body: object, token?: string) => {
    const headers = { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } };
    const answer = await fetch(`${server.url}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(answer.ok, `${path}: ${answer.status}`).toBe(true);
    return await answer.json() as Record<string, string>;
  };
  const { accessToken } = await post('auth/login', { username: 'Ann' });
  token = accessToken!;
  await post(`rooms/${roomId}/products`, { name: 'Tea', price: 450, currency: 'EUR' }, accessToken);
}
