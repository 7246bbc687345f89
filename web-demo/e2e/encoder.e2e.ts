/** An encoder goes live in a room: what its host is told in the studio, of where to publish and of what arrives. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab } from './browsers.js';
import { previewing, publishLayers } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, openStudio, prepareCamera, stop } from './visitors.js';

let server: Server;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  host = await chromium.visit('the host');
  roomId = await openStudio(host, server.url, 'Ann', 'With an encoder');
  await prepareCamera(host);
});

afterAll(async () => {
  await chromium?.close();
  await server?.stop();
});

test('the studio says where to publish, and shows a new key once', async () => {
  showLogOnFailure();
  await until('the address is there', () => host.look(panel), (text) => text.includes(`${server.url}/whip/${roomId}`));
  expect(await host.look(state)).toBe('none');
  await host.click('[data-test=new-key]');
  await host.click('dialog[open] [data-test=confirm-no]');
  expect(await host.look(key)).toBe('');
  await host.click('[data-test=new-key]');
  await host.click('dialog[open] [data-test=confirm-yes]');
  await until('there is a key', () => host.look(key), (text) => text.length >= 20);
});

test('what arrives is told, and what is wrong with its settings', async () => {
  showLogOnFailure();
  const encoder = await chromium.visit('the encoder');
  await encoder.open(server.url);
  await encoder.look(publishLayers, JSON.stringify({ room: roomId, key: await host.look(key), rates: [60_000, 120_000, 400_000], squares: 1 }));
  await until('it arrives', () => host.look(state), (seen) => seen === 'arrived');
  expect(await host.look(panel)).toContain('It arrives: VP8.');
  expect(await host.look(findings), 'the drawing has no sound').toEqual(['noSound']);
  await host.click('[data-test=encoder-look]');
  await until('its picture is shown', () => host.look(previewing), ({ ready, width }) => ready && width >= 240);
  await until('its numbers are told', () => host.look(panel), (text) => text.includes('fps') && text.includes('kb/s'));
  // It sends a keyframe when it is asked, and else none.
  await until('it is told to send keyframes', () => host.look(findings), (found) => found.includes('keyframes'));
  await host.click('[data-test=encoder-leave]');
  expect(await host.look(state)).toBe('arrived');
  await until('the camera is shown again', () => host.look(previewing), ({ ready, width }) => ready && width === 640);
});

test('a host who goes live over an encoder looks at it no more', async () => {
  showLogOnFailure();
  await host.click('[data-test=encoder-look]');
  await until('the host looks', () => host.look(state), (seen) => seen === 'looking');
  await goLive(host);
  await until('the panel is gone', () => host.look(state), (seen) => seen === '');
  await until('the camera is shown', () => host.look(previewing), ({ ready, width }) => ready && width === 640);
  await stop(host);
  await until('nothing arrives', () => host.look(state), (seen) => seen === 'none');
  expect(host.errors).toEqual([]);
});

function panel(): string {
  return document.querySelector<HTMLElement>('[data-test=encoder]')?.innerText ?? '';
}

function state(): string {
  return document.querySelector<HTMLElement>('[data-test=encoder-check]')?.dataset['state'] ?? '';
}

function key(): string {
  return document.querySelector('[data-test=encoder] [data-test=secret] code')?.textContent ?? '';
}

function findings(): string[] {
  return Array.from(document.querySelectorAll<HTMLElement>('[data-test^=finding-]'), ({ dataset }) => dataset['test']!.slice('finding-'.length));
}

function showLogOnFailure(): void {
  onTestFailed(() => console.log(server.log(), host.errors));
}
