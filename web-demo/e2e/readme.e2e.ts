/** The examples of the client library's README as they stand there, on pages of another site, against a real server. */

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server as Site } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'vite';
import type { Rolldown } from 'vite';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import type { KliegPlayer } from '../client/src/player.js';
import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab } from './browsers.js';
import { startServerForAccounts } from './server.js';
import type { Server } from './server.js';

const CLIENT = join(import.meta.dirname, '../client');
const PASSWORD = 'steep four minutes at ninety degrees';

let server: Server;
let site: Site;
/** Of the site that embeds the examples. */
let origin: string;
let chromium: Browser<ChromiumTab>;
let host: ChromiumTab;
let guest: ChromiumTab;
let writer: ChromiumTab;
let watcher: ChromiumTab;
/** The room that the example with the camera makes. */
let roomId = 'demo';

beforeAll(async () => {
  site = await startSite();
  origin = `http://localhost:${(site.address() as AddressInfo).port}`;
  server = await startServerForAccounts({ KLIEG_ALLOWED_ORIGINS: `["${origin}"]`, KLIEG_NEW_ACCOUNT_ROLE: 'host' });
  for (const username of ['Ann', 'Bob']) {
    const body = JSON.stringify({ username, password: PASSWORD });
    const made = await fetch(`${server.url}/api/v1/auth/register`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    expect(made.ok, `${username} has an account`).toBe(true);
  }
  chromium = await launchChromium();
  [host, guest, writer, watcher] = await Promise.all(['Ann', 'the guest', 'Bob', 'the watcher'].map((name) => chromium.visit(name))) as [ChromiumTab, ChromiumTab, ChromiumTab, ChromiumTab];
});

afterAll(async () => {
  await chromium?.close();
  site?.close();
  await server?.stop();
});

test('“A camera” makes a room and goes live in it', async () => {
  showLogOnFailure();
  await host.open(`${origin}/a-camera`);
  const rooms = async (list: string) => (await (await fetch(`${server.url}/api/v1/rooms${list}`)).json() as { items: { id: string }[] }).items;
  [{ id: roomId }] = await until('the room is there', () => rooms(''), ({ length }) => length === 1) as [{ id: string }];
  await host.click('#live');
  await reads(host, '#state', 'Live');
  await until('the room is live', () => rooms('/live'), ({ length }) => length === 1);
});

test('“A player by one element” shows it, by the server\'s own file', async () => {
  showLogOnFailure();
  await guest.open(`${origin}/a-player-by-one-element`);
  await until('frames come', () => guest.look(player), ({ frames, status }) => frames >= 30 && status === 'playing');
});

test('“A picture of your own” shows it, and lets the quality be chosen', async () => {
  showLogOnFailure();
  await watcher.open(`${origin}/a-picture-of-your-own`);
  await reads(watcher, '#caption', 'Live');
  await until('it moves', () => watcher.look(played), (seconds) => seconds > 1);
  const names = () => watcher.look(() => Array.from(document.querySelectorAll('#quality option'), ({ textContent }) => textContent ?? ''));
  const [, least] = await until('there are qualities', names, ({ length }) => length > 1);
  await watcher.choose('#quality', least!);
  await reads(watcher, '#caption', 'Live');
});

// As the browser tells it: one that a program drives keeps none.
test('a page that the browser kept goes on when its visitor returns', async () => {
  showLogOnFailure();
  await watcher.look(() => {
    for (const type of ['pagehide', 'pageshow']) dispatchEvent(new PageTransitionEvent(type, { persisted: true }));
  });
  const before = await watcher.look(played);
  await until('the picture goes on', () => watcher.look(played), (seconds) => seconds > before + 1);
});

test('“A chat alone” writes, and shows what is written', async () => {
  showLogOnFailure();
  await writer.open(`${origin}/a-chat-alone`);
  await until('Bob may write', () => writer.look(() => document.querySelector<HTMLButtonElement>('#send')?.disabled), (disabled) => disabled === false);
  await writer.enter('#line', 'How hot is the water?');
  await reads(writer, '#lines', 'Bob: How hot is the water?');
  await until('the field is empty again', () => writer.look(() => document.querySelector<HTMLInputElement>('#line')?.value), (value) => value === '');
  await writer.enter('#line', ' ');
  await reads(writer, '#note', 'Write something first.');
});

test('“Numbers, losses and errors” tells the numbers, and that the server is gone and back', async () => {
  showLogOnFailure();
  await writer.open(`${origin}/numbers-losses-and-errors`);
  const numbers = async () => JSON.parse(await words(writer, '#numbers') || '{}') as { width?: number; framesPerSecond?: number };
  await until('there are numbers', numbers, ({ width = 0, framesPerSecond = 0 }) => width > 0 && framesPerSecond > 0);
  const lost = () => writer.look(() => !document.querySelector<HTMLElement>('#banner')!.hidden);
  await server.crash(500);
  await until('the banner tells of the loss', lost, Boolean);
  await until('it is gone', lost, (shown) => !shown);
  const before = await writer.look(played);
  await until('the picture goes on', () => writer.look(played), (seconds) => seconds > before + 1, 60_000);
  await writer.open(`${origin}/numbers-losses-and-errors?nowhere`);
  await reads(writer, '#numbers', 'This room does not exist, or is not open to you. (not_found, 0 ms)');
});

test('a page of a site that is not allowed loads the player, which does not reach the server', async () => {
  showLogOnFailure();
  // To a browser another site, and so to the server.
  await guest.open(`${origin.replace('localhost', '127.0.0.1')}/a-player-by-one-element`);
  await until('it is refused', () => guest.look(player), ({ status, text }) => status === 'reconnecting' || text === 'The server cannot be reached. Check your connection.');
  expect((await guest.look(player)).frames).toBe(0);
});

test('“A camera” ends what it began', async () => {
  showLogOnFailure();
  await host.click('#off');
  await reads(watcher, '#caption', 'The show has ended');
});

/** What the element shows and tells. */
async function player() {
  const element = document.querySelector('klieg-player') as KliegPlayer | null;
  const stats = await element?.stats?.();
  const text = element?.shadowRoot?.querySelector('[part=status]')?.textContent ?? '';
  return { frames: stats?.framesDecoded ?? 0, status: element?.status?.kind, text };
}

function played(): number {
  return document.querySelector<HTMLVideoElement>('#picture')?.currentTime ?? 0;
}

function words(visitor: ChromiumTab, selector: string): Promise<string> {
  return visitor.look((selector) => document.querySelector(selector)?.textContent ?? '', selector);
}

function reads(visitor: ChromiumTab, selector: string, text: string): Promise<string> {
  return until(`${visitor.name} reads “${text}” in ${selector}`, () => words(visitor, selector), (seen) => seen.includes(text));
}

/** Serves each example of the README as a page, under its heading; bare names of modules lead to a build of the library. */
async function startSite(): Promise<Site> {
  const readme = await readFile(join(CLIENT, 'README.md'), 'utf8');
  const found = Array.from(readme.matchAll(/^### (.+)\n\n```html\n([^]+?)^```$/gm), ([, heading, page]) => [slug(heading!), page!] as const);
  expect(found.map(([name]) => name)).toHaveLength(5);
  const examples = new Map(found);
  const library = await bundle();
  const made = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://site');
    const example = examples.get(pathname.slice(1));
    response.setHeader('content-type', pathname === '/client.js' ? 'text/javascript' : 'text/html');
    if (example === undefined) response.end(pathname === '/client.js' ? library : '');
    else response.end(dress(example.replaceAll('https://live.example', server.url).replaceAll('demo', search === '' ? roomId : search.slice(1))));
  });
  // For this machine alone. Its name leads browsers to the other loopback address as well, where nobody listens.
  await new Promise<void>((resolve) => made.listen(0, '127.0.0.1', resolve));
  return made;
}

/** Puts an example into a page that knows where the library is, and answers for the visitor what a dialog would ask. */
function dress(example: string): string {
  const imports = JSON.stringify({ imports: { '@klieg/client': '/client.js' } });
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>An example</title><link rel="icon" href="data:,">
<script>window.prompt = () => ${JSON.stringify(PASSWORD)};</script><script type="importmap">${imports}</script><body>${example}</body></html>`;
}

async function bundle(): Promise<string> {
  const built = await build({
    configFile: false, logLevel: 'silent', build: { write: false, target: 'es2022', lib: { entry: join(CLIENT, 'src/index.ts'), formats: ['es'], fileName: 'client' } },
  }) as Rolldown.RolldownOutput[];
  return built.flatMap(({ output }) => output).find((file) => file.type === 'chunk')!.code;
}

function slug(heading: string): string {
  return heading.toLowerCase().replaceAll(',', '').replaceAll(' ', '-');
}

function showLogOnFailure(): void {
  onTestFailed(() => {
    console.log(server.log());
    for (const { name, errors } of [host, guest, writer, watcher]) if (errors.length > 0) console.log(name, errors);
  });
}
