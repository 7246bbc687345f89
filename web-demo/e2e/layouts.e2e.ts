/** Camera, screen or both: what viewers see of a host who changes that while live. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchTabbedChromium, until } from './browsers.js';
import type { Browser, ChromiumTab } from './browsers.js';
import { cameraTracks, endShare, offered, received, spots } from './probe.js';
import type { Spots } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames, goLive, isLive, listen, openStudio, prepareCamera, watch } from './visitors.js';

let server: Server;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let viewer: ChromiumTab;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  [host, viewer] = [await chromium.visit('the host'), await chromium.visit('the viewer')];
  const roomId = await openStudio(host, server.url, 'Ann', 'Slides');
  await prepareCamera(host);
  await goLive(host);
  await watch(viewer, server.url, roomId);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('the screen, then both, then the camera again come to viewers without a new session', async () => {
  showLogOnFailure();
  const before = await host.look(offered);
  await sees('the camera', ({ middle, topLeft }) => !isScreen(middle) && !isScreen(topLeft));
  await host.click('[data-test=layout-screen]');
  await sees('the screen', (seen) => Object.values(seen).every(isScreen));
  await host.click('[data-test=layout-both]');
  await sees('the camera on the screen', ({ bottomRight, ...others }) => !isScreen(bottomRight) && Object.values(others).every(isScreen));
  await host.choose('#corner', 'topLeft');
  await sees('it in another corner', ({ topLeft, ...others }) => !isScreen(topLeft) && Object.values(others).every(isScreen));
  await host.click('[data-test=layout-camera]');
  await sees('the camera alone', ({ middle, bottomRight }) => !isScreen(middle) && !isScreen(bottomRight));
  expect(await host.look(offered), 'nothing was offered anew').toBe(before);
  await moves();
});

test('the choice fits the smallest window', async () => {
  showLogOnFailure();
  await host.resize(320, 640);
  await host.click('[data-test=tab-settings]');
  const beyond = () => Math.max(...[...document.querySelectorAll('[data-test=layouts], [data-test=layouts] *')].map((part) => part.getBoundingClientRect().right)) - innerWidth;
  await until('nothing sticks out', () => host.look(beyond), (pixels) => pixels <= 0);
  await host.resize(1280, 720);
});

test('both move as fast as the camera does', async () => {
  showLogOnFailure();
  await choose('both');
  expect(await rateOf(viewer)).toBeGreaterThan(20);
});

test('a camera that is off is not on the screen, and its viewers are not told that there is no picture', async () => {
  showLogOnFailure();
  await choose('both');
  await host.click('[data-test=toggle-camera]');
  await sees('the screen alone', (seen) => Object.values(seen).every(isScreen));
  expect(await viewer.look(said)).not.toContain('camera is off');
  await host.click('[data-test=layout-camera]');
  await until('the viewer is told', () => viewer.look(said), (words) => words.includes('camera is off'));
  await host.click('[data-test=layout-screen]');
  await sees('the screen', (seen) => Object.values(seen).every(isScreen));
  await until('the viewer is told', () => viewer.look(said), (words) => !words.includes('camera is off'));
  await host.click('[data-test=layout-both]');
  await moves();
  expect(isScreen((await viewer.look(spots))!.bottomRight), 'the camera is as off as it was').toBe(true);
  await host.click('[data-test=toggle-camera]');
  await sees('the camera on the screen', ({ topLeft }) => !isScreen(topLeft));
});

test('the sound of the screen goes on while the microphone is off', async () => {
  showLogOnFailure();
  await choose('both');
  await listen(viewer);
  await host.click('[data-test=toggle-microphone]');
  // What was on its way is heard by then.
  await moves(60);
  const { audioEnergy } = await viewer.look(received);
  await until('the viewer hears the screen', () => viewer.look(received), (seen) => seen.audioEnergy > audioEnergy);
  expect(await viewer.look(said)).not.toContain('microphone is off');
  await host.click('[data-test=layout-camera]');
  await until('the viewer is told', () => viewer.look(said), (words) => words.includes('microphone is off'));
  await host.click('[data-test=toggle-microphone]');
});

test('what the browser stops sharing gives way to the camera, and stopping here lets go of the screen', async () => {
  showLogOnFailure();
  await choose('screen');
  await host.look(endShare);
  await sees('the camera', ({ middle, topLeft }) => !isScreen(middle) && !isScreen(topLeft));
  await until('the controls are gone', () => host.look(() => document.querySelector('[data-test=screen-controls]') === null), Boolean);
  await choose('both');
  await sees('the screen', ({ middle }) => isScreen(middle));
  await host.click('[data-test=stop-sharing]');
  await sees('the camera', ({ middle, topLeft }) => !isScreen(middle) && !isScreen(topLeft));
  expect((await host.look(cameraTracks)).filter((state) => state === 'live'), 'camera and microphone').toHaveLength(2);
  await isLive(host);
  expect([...host.errors, ...viewer.errors]).toEqual([]);
});

test('both go on in a tab that nobody looks at', async () => {
  showLogOnFailure();
  const tabbed = await launchTabbedChromium();
  try {
    const hidden = await tabbed.visit('the host of another tab');
    const room = await openStudio(hidden, server.url, 'Bob', 'Out of sight');
    await prepareCamera(hidden);
    await hidden.click('[data-test=layout-both]');
    await goLive(hidden);
    const other = await hidden.again('another tab');
    await other.open(server.url);
    await until('the studio is hidden', () => hidden.look(() => document.hidden), Boolean);
    await watch(viewer, server.url, room);
    expect(await rateOf(viewer)).toBeGreaterThan(20);
    expect(await hidden.look(ticks), 'timers of the page are slow').toBeLessThan(5);
  } finally {
    await tabbed.close();
  }
});

/** Waits for a picture; a camera's scene is dark, and the screen that browsers make up for tests is green. */
function sees(what: string, right: (seen: Spots) => boolean): Promise<Spots | undefined> {
  return until(`the viewer sees ${what}`, () => viewer.look(spots), (seen) => seen !== undefined && right(seen));
}

function isScreen([red, green, blue]: [number, number, number]): boolean {
  return green > red + 40 && green > blue + 40;
}

async function choose(layout: 'screen' | 'both'): Promise<void> {
  await host.click(`[data-test=layout-${layout}]`);
  await sees('the screen', ({ middle }) => isScreen(middle));
}

/** The picture goes on. */
async function moves(further = 15): Promise<void> {
  const seen = await viewer.look(received);
  expect(seen.status).toBe('playing');
  await frames(viewer, seen.frames + further);
}

/** Returns the frames that a viewer decodes each second. */
async function rateOf(viewer: ChromiumTab): Promise<number> {
  const { frames: first } = await viewer.look(received);
  const began = performance.now();
  const { frames: last } = await frames(viewer, first + 120);
  const rate = (last - first) / (performance.now() - began) * 1000;
  console.log(`${rate.toFixed(1)} frames a second at the viewer`);
  return rate;
}

/** How often a timer for thirty times a second ticks in each of three. */
async function ticks(): Promise<number> {
  let count = 0;
  const timer = setInterval(() => count++, 33);
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  clearInterval(timer);
  return count / (performance.now() - began) * 1000;
}

/** All that the page says. */
function said(): string {
  return document.body.innerText;
}

function showLogOnFailure(): void {
  onTestFailed(() => console.log(server.log(), host.errors, viewer.errors));
}
