/** A simulcast of a real browser by WHIP, and viewers by WHEP and on the page who choose a layer of it. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import { publishLayers, received, watchLayers, wantLayer } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { watch } from './visitors.js';

let server: Server;
let chromium: Browser<ChromiumTab>;
let host: Tab;
let player: Tab;
let viewer: ChromiumTab;

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

test('by the keyboard a viewer chooses a quality, reads why it comes, and goes back to the best', async () => {
  onTestFailed(() => console.log(server.log()));
  await viewer.press('q');
  const listed = () => viewer.look(() => Array.from(document.querySelectorAll<HTMLElement>('[data-test=quality-panel] label'), ({ innerText }) => innerText.replace(/\s+/g, ' ').trim()));
  const options = await until('the qualities with their rates', listed, (labels) => labels.filter((label) => /\d+p .*[kM]b\/s$/.test(label)).length === 3);
  console.log(options.join(' · '));
  expect(options.map((label) => label.split(' ')[0])).toEqual(['Auto', '540p', '270p', '135p']);
  const reads = (words: string) => until(`“${words}”`, () => viewer.look(() => document.querySelector('[data-test=quality-reason]')?.textContent ?? ''), (reason) => reason === words);
  await reads('The best quality that the host sends.');
  for (const [key, times, width] of [['ArrowDown', 3, 240], ['ArrowUp', 3, 960]] as const) {
    for (let time = 0; time < times; time++) await viewer.press(key);
    await until(`${width} pixels`, () => viewer.look(received), (seen) => seen.width === width);
    await reads(width === 240 ? 'As you chose.' : 'The best quality that the host sends.');
  }
  await viewer.press('Escape');
  expect(await viewer.look(() => [document.querySelector('[data-test=quality-panel]'), document.activeElement?.getAttribute('data-test')])).toEqual([null, 'quality']);
});

test('on a phone a viewer chooses by touch, and the choice says what is shown', async () => {
  onTestFailed(() => console.log(server.log()));
  await viewer.resize(390, 844);
  await viewer.click('[data-test=quality]');
  await viewer.click('[data-test=quality-h]');
  await until('480 pixels', () => viewer.look(received), ({ width }) => width === 480);
  const box = await viewer.look(() => {
    const { left, right, bottom } = document.querySelector('[data-test=quality-panel]')!.getBoundingClientRect();
    return [left, right, bottom];
  });
  expect(box).toEqual([0, 390, 844]);
  await viewer.click('[data-test=stage]');
  await until('it is closed', () => viewer.look(() => document.querySelector('[data-test=quality-panel]')), (panel) => panel === null);
  await until('the button says so', () => viewer.look(() => document.querySelector('[data-test=quality]')?.textContent ?? ''), (text) => text === '270p');
});

test('no page reported an error', () => {
  expect([host, player, viewer].flatMap(({ errors }) => errors)).toEqual([]);
});
