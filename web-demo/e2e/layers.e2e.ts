/** A simulcast of a real browser by WHIP, and viewers by WHEP and on the page who choose a layer of it. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { publishLayers, received, watchLayers, wantLayer } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { watch } from './visitors.js';

let server: Server;
let chromium: Browser;
let host: Tab;
let player: Tab;
let viewer: Tab;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  [host, player, viewer] = [await chromium.visit('the host'), await chromium.visit('a WHEP player'), await chromium.visit('a viewer')];
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('a player is told the layers of a simulcast and shown the best one', async () => {
  onTestFailed(() => console.log(server.log()));
  await Promise.all([host, player].map((tab) => tab.open(server.url)));
  await player.look(watchLayers);
  await host.look(publishLayers);
  await until('three layers are told', () => player.look(() => window.kliegLayers), (layers) => layers.length === 3 && layers.every(({ width }) => width > 0));
  await until('the best layer is shown', () => player.look(received), ({ width }) => width === 960);
});

test.each([['q', 240], ['f', 960], ['h', 480]])('a player that asks for the layer %s is shown it without a break', async (rid, expected) => {
  onTestFailed(() => console.log(server.log()));
  expect(await player.look(wantLayer, rid)).toBe(200);
  const { frames } = await until(`${expected} pixels`, () => player.look(received), ({ width }) => width === expected);
  await until('frames go on', () => player.look(received), (seen) => seen.width === expected && seen.frames > frames + 30);
});

test('a viewer on the page is shown the best layer', async () => {
  onTestFailed(() => console.log(server.log()));
  await watch(viewer, server.url, 'demo');
  await until('the best layer is shown', () => viewer.look(received), ({ width, frames }) => width === 960 && frames > 30);
});

test('no page reported an error', () => {
  expect([host, player, viewer].flatMap(({ errors }) => errors)).toEqual([]);
});
