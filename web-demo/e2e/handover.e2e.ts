/** The host's place is taken over again and again, and those who watch keep their connection and their picture. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { longestGapMs, publishStatus, received, statuses, watchGaps } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

declare global {
  interface Window {
    /** What a page began by WHIP, one after the other. */
    kliegAttempts: { peer: RTCPeerConnection; answer: string }[];
  }
}

const HAND_OVERS = 10;
/** Four seconds of pictures: longer than any publisher takes to connect and to show something. */
const QUIET_FRAMES = 120;
/** A page that decodes thirty pictures a second on a busy machine; far less than what one that waits for a host would be without. */
const STILL_MS = 1_000;
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

test('one who never connects, or connects and shows nothing, takes nobody from the host, and has the place with the first picture', async () => {
  onTestFailed(() => console.log(server.log()));
  const [encoder, next, watching] = await Promise.all(['an encoder', 'the next one', 'who watches both'].map((name) => chromium.visit(name)));
  for (const tab of [encoder!, next!]) await tab.open(server.url);
  await encoder!.look(offer);
  await encoder!.look(connect);
  await encoder!.look(draw, 'vp8');
  await watch(watching!, server.url, 'demo');
  const { peers } = await frames(watching!, 10);
  await watching!.look(watchGaps);

  await next!.look(offer);
  await next!.look(offer);
  await next!.look(connect);
  await until('the next one is connected', () => next!.look(connections), (states) => states.at(-1) === 'connected');
  const { frames: before } = await watching!.look(received);
  expect((await frames(watching!, before + QUIET_FRAMES)).status).toBe('playing');
  expect(await encoder!.look(connections)).toEqual(['connected']);

  await next!.look(draw, 'vp9');
  await shows(watching!, 'vp9');
  await until('the first one is shown out', () => encoder!.look(connections), (states) => states.every((state) => state !== 'connected'));
  expect((await watching!.look(received)).peers).toBe(peers);
  expect(await watching!.look(longestGapMs)).toBeLessThan(STILL_MS);
  expect(await watching!.look(statuses)).not.toContain('interrupted');
  viewers.push(encoder!, next!, watching!);
}, 60_000);

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

/** Offers by WHIP to publish a picture that does not come yet. */
async function offer(): Promise<void> {
  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', { direction: 'sendonly' });
  await peer.setLocalDescription();
  const headers = { 'authorization': 'Bearer demo-key', 'content-type': 'application/sdp' };
  const answer = await fetch('/whip/demo', { method: 'POST', headers, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  (window.kliegAttempts ??= []).push({ peer, answer: await answer.text() });
}

/** Takes the answer to the last offer. */
async function connect(): Promise<void> {
  const { peer, answer } = window.kliegAttempts.at(-1)!;
  await peer.setRemoteDescription({ type: 'answer', sdp: answer });
}

function connections(): string[] {
  return window.kliegAttempts.map(({ peer }) => peer.connectionState);
}

/** Sends a drawing from now on. */
async function draw(codec: string): Promise<void> {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 192 });
  const brush = canvas.getContext('2d')!;
  setInterval(() => {
    brush.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 40%)`;
    brush.fillRect(Math.random() * 280, Math.random() * 150, 40, 40);
  }, 1000 / 30);
  const sender = window.kliegAttempts.at(-1)!.peer.getSenders()[0]!;
  const parameters = sender.getParameters();
  const codecs = parameters.codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  for (const encoding of parameters.encodings as (RTCRtpEncodingParameters & { codec?: unknown })[]) encoding.codec = codecs[0];
  await sender.setParameters(parameters);
  await sender.replaceTrack(canvas.captureStream(30).getVideoTracks()[0]!);
}
