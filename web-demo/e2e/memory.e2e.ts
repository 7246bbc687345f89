/**
 * What a page in Chromium holds while a chat is at fifty lines a second. Short by default; `E2E_CHAT_MINUTES=30 npm run e2e -- memory` is the whole of it,
 * with a look each minute.
 */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Held } from './browsers.js';
import { chatLines } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { reads } from './visitors.js';

const GIVEN = process.env['E2E_CHAT_MINUTES'];
const LINES_A_SECOND = 50;
/** Each may write five lines a second. */
const WRITERS = 20;
/** Until the page holds as many lines as it ever does. */
const FULL_MS = 8_000;
const LOOKS = Math.round(Number(GIVEN ?? 3));
const LOOK_EVERY_MS = GIVEN === undefined ? 4_000 : 60_000;
/** After a collection. A line that is kept takes some hundred bytes, and ten nodes where its element is kept with it; there are thousands of them. */
const GROWTH_BYTES = 2_000_000;
const GROWTH_NODES = 500;

let server: Server;
let chromium: Browser<ChromiumTab>;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('a page holds no more after a long chat than when its chat was full', async () => {
  onTestFailed(() => console.log(server.log()));
  const reader = await chromium.visit('the reader');
  await reader.open(`${server.url}/r/demo`);
  const chat = await write();
  await until('lines come', () => reader.look(chatLines), ({ length }) => length > 0);
  await new Promise((resolve) => setTimeout(resolve, FULL_MS));
  const looks: (Held & { lines: number })[] = [];
  for (let look = 0; look <= LOOKS; look++) {
    if (look > 0) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    const seen = { lines: chat.written(), ...await reader.holds() };
    console.log(`${(look * LOOK_EVERY_MS / 60_000).toFixed(1)} min: ${JSON.stringify(seen)}`);
    looks.push(seen);
  }
  await chat.stop('and that was all');
  await reads(reader, 'and that was all');
  const [first, last] = [looks[0]!, looks.at(-1)!];
  expect(last.lines - first.lines, 'it was a chat').toBeGreaterThan(LOOKS * LOOK_EVERY_MS / 1000 * LINES_A_SECOND * 0.95);
  // A look in the middle of a drawing finds what is about to be let go: what is held is in the least of them, too.
  const later = looks.slice(-Math.ceil(LOOKS / 2));
  expect(Math.min(...later.map(({ heapBytes }) => heapBytes)) - first.heapBytes).toBeLessThan(GROWTH_BYTES);
  expect(Math.min(...later.map(({ nodes }) => nodes)) - first.nodes).toBeLessThan(GROWTH_NODES);
  expect(reader.errors).toEqual([]);
}, 120_000 + 2 * LOOKS * LOOK_EVERY_MS);

/** Writes into the demo room, as many people, until `stop` with a last line. */
async function write() {
  const tokens = await Promise.all(Array.from({ length: WRITERS }, async (_, index) => (await post('auth/login', { username: `Writer ${index}` })).accessToken));
  let written = 0;
  let failed: unknown;
  const under = new Set<Promise<void>>();
  const began = performance.now();
  const say = () => {
    const text = `${written} ${'and what one says about it '.repeat(written % 4)}`;
    const sent = post('rooms/demo/chat', { text }, tokens[written++ % WRITERS]).then(() => {}, (thrown: unknown) => {
      // A connection that was idle too long on a busy machine, which the server may close as the next request leaves.
      if (!(thrown instanceof TypeError)) failed = thrown;
    });
    under.add(sent);
    void sent.finally(() => under.delete(sent));
  };
  const timer = setInterval(() => {
    // A timer that is late catches up.
    while (written < (performance.now() - began) / 1000 * LINES_A_SECOND) say();
  }, 1000 / LINES_A_SECOND);
  return {
    written: () => written,
    async stop(text: string) {
      clearInterval(timer);
      await Promise.all(under);
      if (failed !== undefined) throw failed;
      await post('rooms/demo/chat', { text }, tokens[0]);
    },
  };
}

async function post(path: string, body: unknown, token?: string): Promise<Record<string, string>> {
  const headers = { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } };
  const answer = await fetch(`${server.url}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return await answer.json() as Record<string, string>;
}
