/** What a host sells, and what viewers see of it, in a real browser. */

import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { openStudio } from './visitors.js';

const SECRET = 'what the shop and the server both know';

let server: Server;
let chromium: Browser;
let host: Tab;
let viewer: Tab;
let roomId: string;
/** The shop's own catalogue. */
const catalogue = createServer((request, response) => {
  const known = request.url === '/sku-9';
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(known ? { name: 'Jasmine tea', price: 720, currency: 'EUR', stock: 4 } : {}));
});

beforeAll(async () => {
  await once(catalogue.listen(0, '127.0.0.1'), 'listening');
  const { port } = catalogue.address() as AddressInfo;
  server = await startServer({ KLIEG_ORDER_HOOK_SECRET: SECRET, KLIEG_CATALOGUE_URL: `http://127.0.0.1:${port}/{id}` });
  chromium = await launchChromium();
  host = await chromium.visit('the host');
  viewer = await chromium.visit('the viewer');
  roomId = await openStudio(host, server.url, 'Ann', 'Tea time');
  await viewer.open(`${server.url}/r/${roomId}`);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
  catalogue.close();
});

test('a room that sells nothing says so to its host alone', async () => {
  showLogOnFailure();
  await shows(host, '[data-test=product-none]', 'Nothing is on sale yet');
  expect(await count(viewer, '[data-test=side-products]')).toBe(0);
});

test('what the host adds and shows large is beside the chat, with its price and a way to buy it', async () => {
  showLogOnFailure();
  await add({ name: 'Oolong tea', price: '12.50', before: '19.90', stock: '3', buyUrl: 'https://shop.example/oolong', externalId: 'sku-1' });
  await add({ name: 'Teapot', price: '40' });
  await shows(viewer, '[data-test=side-products]', 'Products2');
  await host.click('[data-test=product-feature]');
  await shows(viewer, '[data-test=featured]', 'Oolong tea');
  await shows(viewer, '[data-test=featured]', '€12.50');
  await shows(viewer, '[data-test=featured]', '−37 %');
  await shows(viewer, '[data-test=product-facts]', 'Only 3 left');
  const link = await viewer.look(() => document.querySelector<HTMLAnchorElement>('[data-test=buy]')?.href);
  expect(link).toBe('https://shop.example/oolong');
});

test('products are put into another order by the keyboard, and edited', async () => {
  showLogOnFailure();
  const press = (selector: string) => host.look((wanted) => document.querySelector<HTMLElement>(wanted)?.focus(), selector);
  await press('[data-test=sold-product]:last-child [data-test=product-up]');
  await host.look(() => (document.activeElement as HTMLElement).click());
  await viewer.click('[data-test=side-products]');
  const listed = () => viewer.look(() => [...document.querySelectorAll('[data-test=product] :is(h2, h3)')].map((name) => name.textContent));
  await until('the teapot is first', listed, (names) => names[0] === 'Teapot' && names[1] === 'Oolong tea');
  const focused = await host.look(() => document.activeElement?.getAttribute('data-test'));
  expect(focused).toBe('product-up');
  await host.click('[data-test=sold-product]:first-child [data-test=product-edit]');
  await host.fill('[data-test=product-name]', 'Teapot, blue');
  await host.click('[data-test=product-save]');
  await until('the viewer reads its new name', listed, (names) => names[0] === 'Teapot, blue');
  await viewer.click('[data-test=side-chat]');
});

test('an order is told over the picture for five seconds, and stays in the chat', async () => {
  showLogOnFailure();
  const order = { orderId: 'o-1', roomId, productId: 'sku-1', displayName: 'Bob', quantity: 2 };
  expect(await tell(order)).toBe(201);
  for (const tab of [viewer, host]) await shows(tab, '[data-test=order-toast]', 'Bob bought Oolong tea');
  await shows(viewer, '[data-test=chat-order]', 'Bob bought Oolong tea × 2');
  await shows(viewer, '[data-test=product-facts]', 'Only 1 left · 2 sold');
  // Told again it changes nothing.
  expect(await tell(order)).toBe(200);
  await until('the toast goes', () => count(viewer, '[data-test=order-toast]'), (toasts) => toasts === 0);
  expect(await count(viewer, '[data-test=chat-order]')).toBe(1);
  expect(await tell({ ...order, orderId: 'o-2' })).toBe(201);
  await shows(viewer, '[data-test=featured]', 'Sold out');
  expect(await count(viewer, '[data-test=featured] [data-test=buy]')).toBe(0);
});

test('what the host removes is gone', async () => {
  showLogOnFailure();
  for (const left of [1, 0]) {
    await host.click('[data-test=product-remove]');
    await host.click('[data-test=product-panel] [data-test=confirm-yes]');
    await until('it is gone', () => count(host, '[data-test=sold-product]'), (products) => products === left);
  }
  await until('the viewer has nothing to choose', () => count(viewer, '[data-test=side-products]'), (tabs) => tabs === 0);
  expect(await count(viewer, '[data-test=featured]')).toBe(0);
});

test('of what the shop knows the host names the id alone, and is told where it is unknown', async () => {
  showLogOnFailure();
  await add({ externalId: 'sku-9' });
  await shows(host, '[data-test=sold-product]:last-child', 'Jasmine tea');
  await until('the viewer may choose', () => count(viewer, '[data-test=side-products]'), (tabs) => tabs === 1);
  await host.click('[data-test=product-add]');
  await host.fill('[data-test=product-externalId]', 'sku-0');
  await host.click('[data-test=product-save]');
  await shows(host, '[data-test=product-dialog] [role=alert]', 'no product');
  await host.click('[data-test=product-dialog] button[type=button]');
  // The browser itself writes down that the server refused.
  host.errors.splice(0);
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, viewer]) expect(errors, name).toEqual([]);
});

/** Adds a product as a host does. */
async function add(product: Record<string, string>): Promise<void> {
  const before = await count(host, '[data-test=sold-product]');
  await host.click('[data-test=product-add]');
  for (const [field, text] of Object.entries(product)) await host.fill(`[data-test=product-${field}]`, text);
  await host.click('[data-test=product-save]');
  await until('the product is there', () => count(host, '[data-test=sold-product]'), (products) => products === before + 1);
}

/** Tells the server of an order as a shop does; returns the status. */
async function tell(order: object): Promise<number> {
  const body = JSON.stringify(order);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', SECRET).update(`${timestamp}.${body}`).digest('hex');
  const headers = { 'content-type': 'application/json', 'x-klieg-timestamp': timestamp, 'x-klieg-signature': `v1=${signature}` };
  const response = await fetch(`${server.url}/api/v1/hooks/orders`, { method: 'POST', headers, body });
  return response.status;
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
    for (const { name, errors } of [host, viewer]) if (errors.length > 0) console.log(name, errors);
  });
}
