/** 500 hostile strings through chat, names, titles, products and questions: in a real browser none of them runs, breaks out or hides what stands beside it. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { startServer } from './server.js';
import type { Server } from './server.js';

const COUNT = 500;
/** As many lines as a page keeps for sure. */
const AT_ONCE = 100;

/** Each writes down that it ran, were it ever run. */
const RUN = 'document.documentElement.dataset.ran=1';
const SCRIPTS = [
  `<script>${RUN}</script>`, `<img src=x onerror="${RUN}">`, `<svg onload=${RUN}>`, `"><script>${RUN}</script>`, `'><img src=x onerror=${RUN}>`,
  `<iframe srcdoc="<script>parent.${RUN}</script>">`, `<a href="javascript:${RUN}">x</a>`, `javascript:${RUN}`, `{{constructor.constructor('${RUN}')()}}`,
  `\${${RUN}}`, `<style>@import 'javascript:${RUN}';</style>`, `<body onload=${RUN}>`, `<input autofocus onfocus=${RUN}>`, `<details open ontoggle=${RUN}>`,
  `</textarea><script>${RUN}</script>`, `</title><script>${RUN}</script>`, `<math><mtext></mtext><script>${RUN}</script></math>`, `<!--><script>${RUN}</script>-->`,
  `<object data="data:text/html,<script>${RUN}</script>">`, `<form action="javascript:${RUN}"><button>x`, `&lt;script&gt;${RUN}&lt;/script&gt;`,
  `<scr<script>ipt>${RUN}</script>`, `<ScRiPt>${RUN}</sCrIpT>`, `<img src="x" style="position:fixed;inset:0">`, `<link rel=stylesheet href=//example.com/x.css>`,
];
const NOISE = [
  '', '\u0000', '\u0007', '\u001b[31m', '\r\n', '\u2028', '\u2029', '\u200b', '\u200d', '\u202e', '\u2066', '\u2069', '\ufeff', '\u00ad', '\ufffe', '\u0301\u0302\u0303\u0304\u0305',
  '\ud83d\ude00', '\uffff', 'ﷺ'.repeat(8), '\u0489'.repeat(20),
];

/** The n-th string: every script beside every noise. */
function hostile(index: number): string {
  const noise = NOISE[Math.floor(index / SCRIPTS.length) % NOISE.length]!;
  const script = SCRIPTS[index % SCRIPTS.length]!;
  return `${index} ${noise}${script.slice(0, 7)}${noise}${script.slice(7)}${noise}`;
}

let server: Server;
let chromium: Browser;
let visitor: Tab;
let token: string;
let room: string;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  visitor = await chromium.visit('the visitor');
  token = await signIn('Host');
  room = (await call<{ id: string }>('POST', 'rooms', { title: 'A room' })).id;
  await visitor.open(`${server.url}/r/${room}`);
  await visitor.look(() => {
    const counted = window as typeof window & { violations?: string[] };
    counted.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => counted.violations!.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('what is said is text, whatever it says', async () => {
  for (let first = 0; first < COUNT; first += AT_ONCE) {
    const said: string[] = [];
    for (let index = first; index < first + AT_ONCE; index++) {
      said.push((await call<{ text: string }>('POST', `rooms/${room}/chat`, { text: hostile(index) })).text);
    }
    await until(`line ${first + AT_ONCE} is shown`, lines, (shown) => shown.some((line) => line.includes(said.at(-1)!)));
    const shown = await lines();
    for (const text of said) expect(shown.some((line) => line.includes(text)), JSON.stringify(text)).toBe(true);
  }
  await isUnharmed();
});

test('names of people are text, beside what they say', async () => {
  for (let index = 0; index < COUNT; index++) {
    const name = [...hostile(index)].slice(0, 40).join('');
    const guest = await signIn(name);
    await call('POST', `rooms/${room}/chat`, { text: `hello ${index}` }, guest);
    if (index % AT_ONCE !== AT_ONCE - 1) continue;
    await until(`${index} is heard`, lines, (shown) => shown.some((line) => line.includes(`hello ${index}`)));
    await isUnharmed();
  }
  await isUnharmed();
});

test('names of products are text', async () => {
  const some = 50;
  for (let first = 0; first < COUNT; first += some) {
    const added: { id: string; name: string }[] = [];
    for (let index = first; index < first + some; index++) {
      const name = [...hostile(index)].slice(0, 120).join('');
      added.push(await call('POST', `rooms/${room}/products`, { name, price: 1, currency: 'EUR', buyUrl: `https://shop.example/${index}` }));
    }
    if (first === 0) await visitor.click('[data-test=side-products]');
    const shown = () => visitor.look(() => [...document.querySelectorAll('[data-test=product] :is(h2, h3)')].map((name) => name.textContent ?? ''));
    await until(`product ${first + some} is shown`, shown, (names) => names.length === some && names.at(-1) === added.at(-1)!.name);
    expect(await shown()).toEqual(added.map(({ name }) => name));
    await isUnharmed();
    for (const { id } of added) await call('DELETE', `rooms/${room}/products/${id}`);
  }
});

test('what the host is asked is text', async () => {
  await visitor.click('[data-test=side-questions]');
  let last = '';
  for (let index = 0; index < COUNT; index++) last = (await call<{ text: string }>('POST', `rooms/${room}/questions`, { text: hostile(index) })).text;
  const shown = () => visitor.look(() => [...document.querySelectorAll('[data-test=question]')].map((question) => question.textContent ?? ''));
  await until('all are shown', shown, (texts) => texts.length === COUNT && texts.some((text) => text.includes(last)));
  await isUnharmed();
  await visitor.click('[data-test=side-chat]');
});

test('titles and descriptions of rooms are text, in the lobby and in the room', async () => {
  for (let index = 0; index < COUNT; index++) {
    const title = [...hostile(index)].slice(0, 120).join('');
    await call('PATCH', `rooms/${room}`, { title, description: hostile(index) });
  }
  await call('PATCH', `rooms/${room}`, { title: `last ${SCRIPTS[1]!}`.slice(0, 120) });
  await visitor.open(`${server.url}/`);
  await until('the lobby shows the title', () => visitor.look(() => document.body.textContent ?? ''), (text) => text.includes('last <img'));
  await isUnharmed();
  await visitor.open(`${server.url}/r/${room}`);
  await until('the room shows the title', () => visitor.look(() => document.title), (text) => text.includes('last <img'));
  await isUnharmed();
});

test('no page reported an error', () => {
  expect(visitor.errors).toEqual([]);
});

function lines(): Promise<string[]> {
  return visitor.look(() => [...document.querySelectorAll('[data-test=chat-line]')].map((line) => line.textContent ?? ''));
}

/** Nothing ran, nothing was blocked that should not have been there, and no element came of a text. */
async function isUnharmed(): Promise<void> {
  const found = await visitor.look(() => ({
    ran: document.documentElement.dataset['ran'] ?? '',
    violations: (window as typeof window & { violations?: string[] }).violations ?? [],
    elements: document.querySelectorAll(':is([data-test=chat-line], [data-test=product] :is(h2, h3), [data-test=question] p) :is(script, img, svg, iframe, object, a, input, style, link, form, math, details)').length,
    inline: document.querySelectorAll('[onerror], [onload], [onfocus], [ontoggle]').length,
  }));
  expect(found).toEqual({ ran: '', violations: [], elements: 0, inline: 0 });
}

async function signIn(username: string): Promise<string> {
  return (await call<{ accessToken: string }>('POST', 'auth/login', { username })).accessToken;
}

async function call<Answer>(method: string, path: string, body?: object, bearer = token): Promise<Answer> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (bearer !== undefined) headers['authorization'] = `Bearer ${bearer}`;
  const response = await fetch(`${server.url}/api/v1/${path}`, { method, headers, ...body && { body: JSON.stringify(body) } });
  const text = await response.text();
  expect(response.ok, `${method} ${path} ${JSON.stringify(body)}: ${response.status} ${text}`).toBe(true);
  return (text === '' ? undefined : JSON.parse(text)) as Answer;
}
