/** The pictures of rooms in the lobby: what a host shows, in every format, and what a host chose. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab } from './browsers.js';
import { publishStatus } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { goLive, isLive, openStudio, prepareCamera, stop } from './visitors.js';

let server: Server;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let visitor: ChromiumTab;
let roomId: string;

beforeAll(async () => {
  server = await startServer();
  chromium = await launchChromium();
  [host, visitor] = await Promise.all([chromium.visit('the host'), chromium.visit('the visitor')]);
  roomId = await openStudio(host, server.url, 'Ann', 'Pictures');
  await prepareCamera(host);
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close()]);
  await server?.stop();
});

test('a show is counted down to, and can be called off by its button and by a key', async () => {
  showLogOnFailure();
  await host.click('[data-test=go-live]:not(:disabled)');
  expect(await host.look(said)).toMatch(/^Live in [123]$/);
  await host.click('[data-test=go-live]');
  expect(await host.look(counting)).toBe('');
  await host.click('[data-test=go-live]');
  await until('a second passes', () => host.look(said), (words) => /^Live in [12]$/.test(words));
  await host.press('Escape');
  await until('it is called off', () => host.look(counting), (number) => number === '');
  expect(await host.look(publishStatus)).toBe('idle');
  expect(await host.look(said)).toBe('');
});

test('at nought the show is on, and the lobby has a picture of it', async () => {
  showLogOnFailure();
  await host.choose('#codec', 'vp8');
  await host.click('[data-test=go-live]:not(:disabled)');
  await isLive(host);
  expect(await host.look(counting)).toBe('');
  await visitor.open(`${server.url}/`);
  const picture = await until('the lobby has a picture', () => visitor.look(pictured, 'Pictures'), ({ width }) => width > 0);
  expect(picture.alt).toBe('What “Pictures” shows now');
  expect(picture.width / picture.height).toBeCloseTo(16 / 9, 1);
  expect(await contentType()).toBe('image/webp');
  await stop(host);
});

test('of a format that the server makes no picture of, the studio sends one', async () => {
  showLogOnFailure();
  await host.choose('#codec', 'h264');
  await goLive(host);
  await until('the studio has sent it', contentType, (type) => type === 'image/jpeg');
  // Whoever has seen the show before may have that picture for some seconds.
  await until('the lobby has it', async () => {
    await visitor.open(`${server.url}/`);
    return await until('a picture', () => visitor.look(pictured, 'Pictures'), ({ width }) => width > 0);
  }, ({ width }) => width === 480);
  expect(await contentType()).toBe('image/jpeg');
  await stop(host);
});

test('a picture that the host chose is shown while the room is not live', async () => {
  showLogOnFailure();
  await until('the server takes another one', () => host.look(choosePicture), Boolean);
  const shown = () => host.look(() => document.querySelector<HTMLImageElement>('[data-test=room-picture]')?.naturalWidth ?? 0);
  await until('the studio shows it', shown, (width) => width === 1280);
  await visitor.open(`${server.url}/?show=upcoming`);
  const picture = await until('the lobby shows it', () => visitor.look(pictured, 'Pictures'), ({ width }) => width > 0);
  expect(picture).toEqual({ width: 1280, height: 960, alt: 'Picture of “Pictures”' });
});

test('the picture of a private room is shown to its owner, and the room to nobody else', async () => {
  showLogOnFailure();
  const { accessToken } = await told('auth/login', { username: 'Ann' });
  const { id } = await told('rooms', { title: 'Hidden', visibility: 'private' }, accessToken);
  const studio = `${server.url}/studio/${id}`;
  await host.open(studio);
  await until('the studio takes a picture', () => host.look(choosePicture), Boolean);
  const shown = () => host.look(() => document.querySelector<HTMLImageElement>('[data-test=room-picture]')?.naturalWidth ?? 0);
  await until('the studio shows it', shown, (width) => width === 1280);
  await host.open(studio);
  await until('the studio shows it again', shown, (width) => width === 1280);
  const upcoming = `${server.url}/?show=upcoming`;
  await host.open(upcoming);
  const picture = await until('the lobby shows it', () => host.look(pictured, 'Hidden'), ({ width }) => width > 0);
  expect(picture).toEqual({ width: 1280, height: 960, alt: 'Picture of “Hidden”' });
  await visitor.open(upcoming);
  await until('the lobby is there', () => visitor.look(pictured, 'Pictures'), ({ width }) => width > 0);
  expect(await visitor.look(() => document.body.textContent)).not.toContain('Hidden');
});

test('no page reported an error', () => {
  for (const { name, errors } of [host, visitor]) expect(errors, name).toEqual([]);
});

/** What the server answers. */
async function told(path: string, body: object, token?: string): Promise<Record<string, string>> {
  const headers = { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } };
  const answer = await fetch(`${server.url}/api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return await answer.json() as Record<string, string>;
}

/** What a person is told who sees nothing. */
function said(): string {
  return document.querySelector('[data-test=countdown-said]')?.textContent ?? '';
}

/** The number over the picture. */
function counting(): string {
  return document.querySelector('[data-test=countdown] .countdown')?.textContent ?? '';
}

/** The picture on the card of the room. */
function pictured(title: string): { width: number; height: number; alt: string } {
  const cards = [...document.querySelectorAll('[data-test=room-card]')];
  const image = cards.find((card) => card.textContent?.includes(title))?.querySelector('img');
  const shown = image?.complete === true && !image.classList.contains('opacity-0');
  return { width: shown ? image.naturalWidth : 0, height: shown ? image.naturalHeight : 0, alt: image?.alt ?? '' };
}

/** Chooses a large picture, as if from a folder. */
async function choosePicture(): Promise<boolean> {
  const input = document.querySelector<HTMLInputElement>('[data-test=picture-file]');
  if (input === null) return false;
  const canvas = Object.assign(document.createElement('canvas'), { width: 2000, height: 1500 });
  const context = canvas.getContext('2d')!;
  context.fillStyle = '#c52';
  context.fillRect(0, 0, 2000, 1500);
  const blob = await new Promise<Blob>((resolve) => canvas.toBlob((made) => resolve(made!)));
  const files = new DataTransfer();
  files.items.add(new File([blob], 'tea.png', { type: 'image/png' }));
  input.files = files.files;
  input.dispatchEvent(new Event('change'));
  return true;
}

/** Returns of which kind the room's picture is. */
async function contentType(): Promise<string | null> {
  const answer = await fetch(`${server.url}/api/v1/rooms/${roomId}/thumbnail`);
  return answer.headers.get('content-type');
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, visitor]) if (errors.length > 0) console.log(name, errors);
  });
}
