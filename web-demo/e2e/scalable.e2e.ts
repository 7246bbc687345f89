/**
 * Layers within one stream and several beside each other, from a real encoder to a real decoder, with another one chosen each second. Short by
 * default; `KLIEG_LAYER_SECONDS=60 npm run e2e -- scalable` is the whole of it.
 */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { wantLayer } from './probe.js';
import { decoded, publishScalable, stopPublishing, watchScalable } from './scalable.js';
import type { Decoded } from './scalable.js';
import { startServer } from './server.js';
import type { Server } from './server.js';

const SECONDS = Number(process.env['KLIEG_LAYER_SECONDS'] ?? 6);
/** Bounds in time are for a machine that does nothing else; the short run waits for what it asks for. */
const IS_MEASURED = process.env['KLIEG_LAYER_SECONDS'] !== undefined;
/** The longest that the picture may stand still. */
const FREEZE_MS = 300;
/** A second until a keyframe may be asked for again, and as long for it to come. */
const SHOWN_WITHIN_MS = 2_000;

/** What is sent: coding, mode, the layers that are asked for in turn, and how wide each is. */
const CASES: [codec: string, mode: string, layers: [name: string, width: number][]][] = [
  ['VP8', 'L1T3', [['full:0', 320], ['full', 320], ['full:1', 320], ['full', 320]]],
  ['H264', 'L1T3', [['full:0', 320], ['full', 320], ['full:1', 320], ['full', 320]]],
  ['VP9', 'L3T3_KEY', [['s0', 240], ['s2', 960], ['s1', 480], ['s2:0', 960]]],
  ['VP9', 'L2T2', [['s0', 240], ['s1', 480], ['s0:0', 240], ['s1', 480]]],
  ['AV1', 'L3T3_KEY', [['s0', 240], ['s2', 960], ['s1', 480], ['s2:0', 960]]],
  ['AV1', 'L2T2', [['s0', 240], ['s1', 480], ['s0:0', 240], ['s1', 480]]],
  ['VP8', 'simulcast', [['q', 240], ['f', 960], ['h', 480], ['f:0', 960]]],
  ['H264', 'simulcast', [['q', 240], ['f', 960], ['h', 480], ['f', 960]]],
  ['VP9', 'simulcast', [['q', 240], ['f', 960], ['h', 480], ['f', 960]]],
  ['AV1', 'simulcast', [['q', 240], ['f', 960], ['h', 480], ['f', 960]]],
];

let server: Server;
let chromium: Browser;
let host: Tab;
let player: Tab;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  [host, player] = [await chromium.visit('the host'), await chromium.visit('a player')];
  await Promise.all([host, player].map((tab) => tab.open(server.url)));
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test.each(CASES)('%s %s is shown in each layer, gone over to each second', async (codec, mode, layers) => {
  onTestFailed(async () => console.log(server.log(), JSON.stringify(await player.look(decoded))));
  await host.look(publishScalable, JSON.stringify({ codec, mode }));
  try {
    await player.look(watchScalable, codec);
    const widest = Math.max(...layers.map(([, width]) => width));
    await until('the best layer is shown', () => player.look(decoded), ({ width, frames }) => width === widest && frames > 60);
    const [before, first] = [await player.look(decoded, 'begin'), Date.now()];
    const switches: { layer: string; shownMs: number; frames: number }[] = [];
    let last = before;
    for (let second = 0; second < SECONDS; second++) {
      const [layer, expected] = layers[second % layers.length]!;
      const asked = Date.now();
      expect(await player.look(wantLayer, layer)).toBe(200);
      // Publishers are asked for a keyframe once a second at most: a request that comes a little early waits its turn.
      await until(`${layer} is shown`, () => player.look(decoded), ({ width }) => width === expected, IS_MEASURED ? SHOWN_WITHIN_MS : undefined);
      const shownMs = Date.now() - asked;
      await new Promise((resolve) => setTimeout(resolve, first + (second + 1) * 1000 - Date.now()));
      const seen = await player.look(decoded);
      switches.push({ layer, frames: seen.frames - last.frames, shownMs });
      last = seen;
    }
    report(codec, mode, before, last, switches.map(({ shownMs }) => shownMs));
    expect(last.pictureLosses - before.pictureLosses).toBe(0);
    if (!IS_MEASURED) return;
    expect(last.undecoded).toBeLessThanOrEqual(2);
    expect(last.longestGapMs).toBeLessThanOrEqual(FREEZE_MS);
    // Of three temporal layers the lowest has a quarter of the pictures, of two half.
    const [whole, reduced] = [switches.filter(({ layer }) => !layer.includes(':')), switches.filter(({ layer }) => layer.endsWith(':0'))];
    const mean = (seen: typeof switches) => seen.reduce((sum, { frames }) => sum + frames, 0) / seen.length;
    if (reduced.length > 0) expect(mean(reduced)).toBeLessThan(mean(whole) * 0.8);
  } finally {
    await Promise.all([host, player].map((tab) => tab.look(stopPublishing)));
  }
});

test('no page reported an error', () => {
  expect([host, player].flatMap(({ errors }) => errors)).toEqual([]);
});

function report(codec: string, mode: string, before: Decoded, last: Decoded, shownMs: number[]): void {
  const { frames, longestGapMs, freezes, pictureLosses, resolutions, undecoded } = last;
  console.log(`${codec} ${mode}: ${SECONDS} s, ${frames - before.frames} frames, longest gap ${Math.round(longestGapMs)} ms, ${freezes - before.freezes} freezes, `
    + `${pictureLosses - before.pictureLosses} picture losses, ${undecoded} not decoded, ${resolutions} changes of size, the slowest shown after ${Math.max(...shownMs)} ms`);
}
