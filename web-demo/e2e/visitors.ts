/** What visitors do on the pages, step by step as a person would. */

import { expect } from 'vitest';
import type { Received } from './probe.js';
import { chatLines, firstFrameAfter, previewing, publishStatus, reactions, received, statuses } from './probe.js';
import { until } from './browsers.js';
import type { Tab } from './browsers.js';

/** Far less than the time for which a lost host is waited for. */
const ENDED_WITHIN_MS = 4_000;

/** Signs in in the lobby, with a new account where `password` is given, opens a room and enters its studio; returns the room's id. */
export async function openStudio(host: Tab, server: string, name: string, title: string, password?: string): Promise<string> {
  await host.open(`${server}/`);
  await host.click('[data-test=create-room]');
  if (password === undefined) {
    await host.enter('#sign-in-name', name);
  } else {
    await host.click('[data-test=to-register]');
    await host.fill('#sign-in-name', name);
    await host.enter('#sign-in-password', password);
  }
  await host.enter('#create-title', title);
  const address = await until(
    `${host.name} enters the studio`, () => host.look(() => location.pathname), (path) => path.startsWith('/studio/'),
  );
  return address.slice('/studio/'.length);
}

/** Waits for the camera, in a size that a small machine encodes for several tests at once. */
export async function prepareCamera(host: Tab): Promise<void> {
  await until(`${host.name} sees the camera`, () => host.look(previewing), ({ ready }) => ready);
  await host.choose('#quality', '360p');
  await until(`${host.name} sees the small picture`, () => host.look(previewing), ({ ready, width }) => ready && width === 640);
}

export async function goLive(host: Tab): Promise<void> {
  await host.click('[data-test=go-live]:not(:disabled)');
  // By the time that it is looked for on a busy machine the countdown may be over.
  const skipCountdown = () => document.querySelector<HTMLElement>('[data-test=go-now]')?.click();
  await until(`${host.name} is live`, async () => {
    await host.look(skipCountdown);
    return host.look(publishStatus);
  }, (status) => status === 'live');
}

/** Waits until the host is live without anybody's doing. */
export function isLive(host: Tab): Promise<string> {
  return until(`${host.name} is live`, () => host.look(publishStatus), (status) => status === 'live');
}

export async function stop(host: Tab): Promise<void> {
  await host.click('[data-test=go-live]');
  await until(`${host.name} is off air`, () => host.look(publishStatus), (status) => status === 'idle');
}

/** Stops, and checks what each viewer reads: that the show is over, soon, and never that the host was lost. */
export async function stopIsAnEnd(host: Tab, viewers: Tab[]): Promise<void> {
  const before = await Promise.all(viewers.map(async (viewer) => (await viewer.look(statuses)).length));
  await stop(host);
  await Promise.all(viewers.map((viewer) => isTold(viewer, 'ended', ENDED_WITHIN_MS)));
  const told = await Promise.all(viewers.map(async (viewer, index) => (await viewer.look(statuses)).slice(before[index])));
  expect(told.flat()).not.toContain('interrupted');
}

export function isTold(viewer: Tab, status: string, withinMs?: number): Promise<unknown> {
  return until(`${viewer.name} is told “${status}”`, () => viewer.look(received), (seen) => seen.status === status, withinMs);
}

/** Opens the viewers' page and waits for a picture; says how long it took. */
export async function watch(viewer: Tab, server: string, roomId: string): Promise<void> {
  await viewer.open(`${server}/r/${roomId}`);
  await until(`${viewer.name} sees a picture`, () => viewer.look(received), ({ frames, played }) => frames > 0 && played > 0);
  console.log(`${viewer.name}: first frame ${await viewer.look(firstFrameAfter)} ms after the page was asked for`);
}

export function frames(viewer: Tab, wanted: number): Promise<Received> {
  return until(`${viewer.name} decodes ${wanted} frames`, () => viewer.look(received), (seen) => seen.frames >= wanted);
}

/** Unmutes by the large button, and listens until the sound has grown. */
export async function listen(viewer: Tab): Promise<void> {
  await viewer.click('[data-test=unmute]');
  const { audioEnergy } = await viewer.look(received);
  await until(
    `${viewer.name} hears`, () => viewer.look(received), (seen) => !seen.muted && seen.audioEnergy > audioEnergy && seen.audioEnergy > 0,
  );
}

export async function signIn(visitor: Tab, name: string): Promise<void> {
  await visitor.click('[data-test=chat-sign-in]');
  await visitor.enter('#sign-in-name', name);
  await until(`${name} may write`, () => visitor.look(() => document.querySelector('[data-test=chat-draft]') !== null), Boolean);
}

export function reads(visitor: Tab, text: string): Promise<string[]> {
  return until(`${visitor.name} reads “${text}”`, () => visitor.look(chatLines), (lines) => lines.some((line) => line.includes(text)));
}

export function seesReaction(visitor: Tab, emoji: string): Promise<string[]> {
  return until(`${visitor.name} sees ${emoji}`, () => visitor.look(reactions), (seen) => seen.includes(emoji));
}
