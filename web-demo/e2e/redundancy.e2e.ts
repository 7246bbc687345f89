/** Redundant sound (RFC 2198) of Chromium: whole for players that take it, plain for the others, and both hear it. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { listenByWhep, publishRedundant, sound } from './probe.js';
import type { Sound } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { listen, watch } from './visitors.js';

/** Sound that is listened to, in samples. */
const HEARD = 8 * 48_000;
/** Samples made up while a player begins, and on a machine that encodes, forwards and decodes everything. */
const MOST_CONCEALED = HEARD / 5;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  await host.open(server.url);
  await host.look(publishRedundant);
  await until('the host sends sound', () => host.look(sound), ({ packets }) => packets > 50);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

/** Listens for a while; returns what was heard meanwhile. */
async function hear(listener: Tab): Promise<Sound> {
  const before = await until(`${listener.name} hears`, () => listener.look(sound), ({ energy, samples }) => energy > 0 && samples > 0);
  const seen = await until(`${listener.name} hears on`, () => listener.look(sound), ({ samples }) => samples - before.samples > HEARD, 60_000);
  console.log(`${listener.name}: ${JSON.stringify(seen)}`);
  expect(seen.energy).toBeGreaterThan(before.energy);
  expect(seen.concealed - before.concealed, `${listener.name} makes up sound`).toBeLessThan(MOST_CONCEALED);
  expect(seen.lost).toBe(0);
  return seen;
}

test('Chromium sends redundant sound where that comes first', async () => {
  const sent = await host.look(sound);
  console.log(`the host: ${JSON.stringify(sent)}`);
  expect(sent.agreed).toEqual(['red', 'opus']);
});

test('who takes redundancy gets it, by the page and by WHEP, and who does not gets plain sound; all hear', async () => {
  onTestFailed(() => console.log(server.log()));
  const page = await chromium.visit('the page in Chromium');
  const foreign = await firefox.visit('the page in Firefox');
  for (const viewer of [page, foreign]) {
    await watch(viewer, server.url, 'demo');
    await listen(viewer);
  }
  const redundant = await chromium.visit('a player that takes redundancy');
  const plain = await chromium.visit('a player that does not');
  for (const [player, codings] of [[redundant, 'audio/red,audio/opus'], [plain, 'audio/opus']] as const) {
    await player.open(server.url);
    await player.look(listenByWhep, codings);
  }
  const heard = await Promise.all([page, redundant, foreign, plain].map(hear));
  // Browsers name the coding of the blocks alone. What comes tells: each packet has the one before it beside its own. Firefox was offered it, and did not take it.
  const [byPage, whole, byFirefox, without] = heard.map(({ bytes, packets }) => bytes / packets);
  expect(Math.min(byPage!, whole!)).toBeGreaterThan(1.6 * Math.max(byFirefox!, without!));
  expect(heard.map(({ agreed }) => agreed.includes('red'))).toEqual([true, true, true, false]);
}, 120_000);

test('no page reported an error', () => {
  expect(host.errors).toEqual([]);
});
