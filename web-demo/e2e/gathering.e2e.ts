/** What a busy server does to save calls to the kernel: real browsers must not notice. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { playback } from './probe.js';
import type { Playback } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

/** Looks that two browsers may take before the one is said to do worse than the other. */
const LOOKS = 6;
/** Frames of one look: eight seconds. */
const FRAMES = 240;
/**
 * What the one may have more than the other in one look, for a machine that is busy freezes both a few times: freezes, seconds
 * that the picture stood still in them, and of a hundred samples of sound those that were made up.
 */
const MORE = { freezes: 1, stoodStill: 0.3, concealed: 0.5 };

/** A server, and those who watch the same host there. */
interface Evening {
  server: Server;
  viewers: Tab[];
}

let servers: Server[];
let chromium: Browser;
let firefox: Browser;

beforeAll(async () => {
  // One lets packets wait as long as they ever may; the other sends each as it comes, by itself and without padding.
  servers = await Promise.all([
    startServer({ KLIEG_MEDIA_HOLD_MS: '10' }),
    startServer({ KLIEG_MEDIA_HOLD_MS: '0', KLIEG_MEDIA_GSO: 'off' }),
  ]);
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await Promise.allSettled(servers?.map((server) => server.stop()) ?? []);
});

test('packets that wait for each other, sound behind pictures and padding are played as ever', async () => {
  onTestFailed(() => console.log(servers.map((server) => server.log()).join('\n')));
  const waiting = await begin(servers[0]!, 'waiting');
  const plain = await begin(servers[1]!, 'plain');
  // What a machine does to one of the two by chance it does not do again and again: who is as good once, is as good.
  const worse = new Set(waiting.viewers.keys());
  for (let look = 0; look < LOOKS && worse.size > 0; look++) {
    const [withRuns, without] = await Promise.all([waiting, plain].map((evening) => lookAt(evening)));
    for (const index of worse) {
      if (isAsGood(withRuns![index]!, without![index]!)) worse.delete(index);
    }
  }
  expect([...worse].map((index) => waiting.viewers[index]!.name), 'played worse than without waiting').toEqual([]);
  // The point of it: more packets leave at once.
  const [many, few] = await Promise.all(servers.map(packetsOfRun));
  console.log(`${many} packets a run, and ${few} where none waits`);
  expect(many).toBeGreaterThan(few!);
}, 240_000);

async function begin(server: Server, name: string): Promise<Evening> {
  const host = await chromium.visit(`the host, ${name}`);
  const viewers = [await chromium.visit(`Chromium viewer, ${name}`), await firefox.visit(`Firefox viewer, ${name}`)];
  const roomId = await openStudio(host, server.url, 'Ann', 'Busy evening');
  await prepareCamera(host);
  await goLive(host);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map(listen));
  await Promise.all(viewers.map((viewer) => frames(viewer, 30)));
  return { server, viewers };
}

/** Returns what everybody's playback went through during as many frames; nothing may be lost in either case. */
function lookAt({ viewers }: Evening): Promise<Playback[]> {
  return Promise.all(viewers.map(async (viewer) => {
    const { frames: begun } = await frames(viewer, 1);
    const before = await viewer.look(playback);
    await frames(viewer, begun + FRAMES);
    const after = await viewer.look(playback);
    const names = Object.keys(after) as (keyof Playback)[];
    const passed = Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Playback;
    console.log(`${viewer.name}: ${JSON.stringify(passed)}`);
    expect(passed.lost, `${viewer.name} lost packets`).toBe(0);
    expect(passed.samples, `${viewer.name} plays sound`).toBeGreaterThan(48_000);
    return passed;
  }));
}

/** Returns whether no more froze, and no more sound was made up, than in the other case at the same time. */
function isAsGood(one: Playback, other: Playback): boolean {
  const concealed = ({ concealed, samples }: Playback) => 100 * concealed / samples;
  return one.freezes <= other.freezes + MORE.freezes
    && one.stoodStill <= other.stoodStill + MORE.stoodStill
    && concealed(one) <= concealed(other) + MORE.concealed;
}

async function packetsOfRun({ url }: Server): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const total = (name: string) => Number(new RegExp(`^klieg_sfu_${name}_total (\\d+)`, 'm').exec(metrics)?.[1]);
  return total('rtp_sent') / total('runs_sent');
}
