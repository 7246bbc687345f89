/** One live event in real browsers, from “Go live” to the host's return. */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { latencyMs, risenMs, viewerCount } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isTold, listen, openStudio, prepareCamera, reads, seesReaction, signIn, stopIsAnEnd, watch } from './visitors.js';

const IMAGES = join(import.meta.dirname, '../../docs/images');

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let viewers: Tab[];
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('the host');
  viewers = [await chromium.visit('Chromium viewer 1'), await chromium.visit('Chromium viewer 2'), await firefox.visit('Firefox viewer')];
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('a host goes live with the studio page', async () => {
  showLogOnFailure();
  roomId = await openStudio(host, server.url, 'Ann', 'Evening on stage');
  await prepareCamera(host);
  await goLive(host);
});

test('viewers in Chromium and Firefox see 100 frames and hear', async () => {
  showLogOnFailure();
  await Promise.all(viewers.map((viewer) => watch(viewer, server.url, roomId)));
  await Promise.all(viewers.map((viewer) => frames(viewer, 100)));
  await Promise.all(viewers.map(listen));
});

test('viewers in Chromium are told how old the picture is', async () => {
  showLogOnFailure();
  const told = viewers.slice(0, 2).map((viewer) => until(`${viewer.name} is told`, () => viewer.look(latencyMs), (ms) => ms > 0 && ms < 5_000));
  console.log(`${(await Promise.all(told)).join(' and ')} ms from camera to screen`);
});

test('everybody reads how many watch', async () => {
  const counts = [host, ...viewers].map((visitor) => until(
    `${visitor.name} reads the count`, () => visitor.look(viewerCount), (count) => count === viewers.length,
  ));
  await Promise.all(counts);
});

test('a chat line and a reaction reach all', async () => {
  showLogOnFailure();
  const [bob, cleo] = viewers as [Tab, Tab];
  await signIn(bob, 'Bob');
  await bob.enter('[data-test=chat-draft]', 'Good evening, everybody!');
  await Promise.all([host, ...viewers].map((visitor) => reads(visitor, 'Good evening, everybody!')));
  await host.enter('[data-test=chat-draft]', 'Welcome! We start in a minute.');
  await signIn(cleo, 'Cleo');
  await cleo.enter('[data-test=chat-draft]', 'The picture is wonderfully sharp <3');
  await Promise.all([host, ...viewers].map((visitor) => reads(visitor, 'wonderfully sharp <3')));
  await bob.click('[data-test=react]');
  await Promise.all([host, ...viewers].map((visitor) => seesReaction(visitor, '❤')));
});

test('player and studio can be pictured', async () => {
  const [bob, cleo] = viewers as [Tab, Tab];
  await frames(bob, 30);
  // At once: a slow machine would let the first ones land before the last one starts.
  await cleo.look(() => document.querySelectorAll<HTMLElement>('[data-test=react]').forEach((button) => button.click()));
  await until('reactions float', () => bob.look(risenMs), (ms) => ms > 800);
  const pictures = { player: await bob.picture(), studio: await host.picture() };
  for (const [name, bytes] of Object.entries(pictures)) {
    expect(bytes.length, `${name} is not blank`).toBeGreaterThan(20_000);
    // Only when asked, so that a test leaves the tree as it was.
    if (process.env['UPDATE_SCREENSHOTS'] !== '1') continue;
    await mkdir(IMAGES, { recursive: true });
    await writeFile(join(IMAGES, `${name}.png`), bytes);
  }
});

test('viewers see the host again on the same peer connection: page closed and opened', async () => {
  showLogOnFailure();
  await comesBack(async () => {
    await host.close();
    await Promise.all(viewers.map((viewer) => isTold(viewer, 'interrupted')));
  }, async () => {
    await host.open(`${server.url}/studio/${roomId}`);
    await prepareCamera(host);
    await goLive(host);
  });
});

test('viewers see the host again on the same peer connection: stopped and started', async () => {
  showLogOnFailure();
  await comesBack(() => stopIsAnEnd(host, viewers), () => goLive(host));
});

test('no page reported an error', () => {
  expect(Object.fromEntries([host, ...viewers].map(({ name, errors }) => [name, errors]))).toEqual(
    Object.fromEntries([host, ...viewers].map(({ name }) => [name, []])),
  );
});

/** Lets the host go and return; checks that each viewer goes on where it was. */
async function comesBack(leave: () => Promise<void>, back: () => Promise<void>): Promise<void> {
  const before = await Promise.all(viewers.map((viewer) => frames(viewer, 1)));
  await leave();
  await back();
  await Promise.all(viewers.map(async (viewer, index) => {
    const { peers, frames: decoded } = before[index]!;
    const after = await frames(viewer, decoded + 60);
    expect(after.peers, `${viewer.name}'s peer connections`).toBe(peers);
    expect(after.connection).toBe('connected');
    await isTold(viewer, 'playing');
  }));
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, ...viewers]) if (errors.length > 0) console.log(name, errors);
  });
}
