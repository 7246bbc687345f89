/** The host's place is taken over again and again, and those who watch keep their connection and their picture. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { longestGapMs, publishStatus, received, watchGaps } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

const HAND_OVERS = 10;
/** What each of them sends, one after the other: the coding changes with the host, the stream and its numbers always do. */
const CODECS = ['vp8', 'vp9'] as const;

let server: Server;
let chromium: Browser;
let firefox: Browser;
let studios: [Tab, Tab];
let viewers: Tab[];

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  const first = await chromium.visit('the first studio');
  viewers = [await chromium.visit('Chromium viewer'), await firefox.visit('Firefox viewer')];
  const roomId = await openStudio(first, server.url, 'Ann', 'Changing hands');
  await prepareCamera(first);
  const second = await first.again('the second studio');
  await second.open(`${server.url}/studio/${roomId}`);
  await prepareCamera(second);
  studios = [first, second];
  await first.choose('#codec', CODECS[0]);
  await goLive(first);
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map(listen));
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('ten hosts one after the other, each while the last one is live, cost no viewer the connection', async () => {
  onTestFailed(() => console.log(server.log()));
  const peers = await Promise.all(viewers.map(async (viewer) => (await frames(viewer, 10)).peers));
  for (let turn = 1; turn <= HAND_OVERS; turn++) {
    const [next, last] = [studios[turn % 2]!, studios[(turn + 1) % 2]!];
    const codec = CODECS[turn % 2]!;
    await next.choose('#codec', codec);
    await Promise.all(viewers.map((viewer) => viewer.look(watchGaps)));
    await goLive(next);
    await until(`${last.name} is told`, () => last.look(publishStatus), (status) => status === 'refused');
    const seen = await Promise.all(viewers.map((viewer) => shows(viewer, codec)));
    expect(seen.map((one) => one.peers), 'peer connections').toEqual(peers);
    const gaps = await Promise.all(viewers.map((viewer) => viewer.look(longestGapMs)));
    console.log(`hand-over ${turn}, to ${codec}: the picture stood still for ${gaps.map(Math.round).join(' and ')} ms at most`);
  }
}, 180_000);

test('no page reported an error', () => {
  expect([...studios, ...viewers].flatMap(({ errors }) => errors)).toEqual([]);
});

/** Waits until a viewer has decoded a second of the next host's coding. */
async function shows(viewer: Tab, codec: string): Promise<{ peers: number }> {
  const { frames: before } = await until(
    `${viewer.name} is shown ${codec}`, () => viewer.look(received), (seen) => seen.codec.toLowerCase() === codec,
  );
  return frames(viewer, before + 30);
}
