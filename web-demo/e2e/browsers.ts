/** Chromium and Firefox behind one small interface: a tab that a test can look into and click in. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import type { Browser as ChromiumBrowser, BrowserContext as ChromiumContext, Page as ChromiumPage } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import type { BrowserContext as PuppeteerContext, Page as PuppeteerPage } from 'puppeteer-core';
import { remember } from './probe.js';
import { writeScene } from './scene.js';

const ACT_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 100;

const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
  '--disable-sync', '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream=fps=30',
];

const FIREFOX_PREFS = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
};

const FILM = 'Stage camera.y4m';

/** Size of the pages, and of their pictures. */
export const VIEWPORT = { width: 1280, height: 800 };

/** One visitor's page. */
export interface Tab {
  /** Names it in messages. */
  name: string;
  /** What the page reported as errors. */
  errors: string[];
  open(url: string): Promise<void>;
  /** Runs a function of `probe.ts` in the page, with what it is given. */
  look<Seen>(probe: (given: string) => Seen | Promise<Seen>, given?: string): Promise<Seen>;
  click(selector: string): Promise<void>;
  /** Writes into a field as a visitor does. */
  fill(selector: string, text: string): Promise<void>;
  /** The same, then presses Enter. */
  enter(selector: string, text: string): Promise<void>;
  /** Types lines key by key, each with Enter, as fast as a browser takes them. */
  type(selector: string, lines: string[]): Promise<void>;
  choose(selector: string, value: string): Promise<void>;
  picture(): Promise<Uint8Array>;
  resize(width: number, height: number): Promise<void>;
  /** Another tab of the same visitor. */
  again(name: string): Promise<Tab>;
  close(): Promise<void>;
}

/** What a visitor's device asks pages to look like. */
export type Scheme = 'dark' | 'light';

/** What a page holds. */
export interface Held {
  /** Of JavaScript. */
  heapBytes: number;
  /** Nodes of all documents, those included that are on no page but not let go. */
  nodes: number;
  listeners: number;
}

/** A page in Chromium, which a test can do more with. */
export interface ChromiumTab extends Tab {
  /** Asks for a scheme, and for nothing that moves. */
  dress(scheme: Scheme): Promise<void>;
  press(key: string): Promise<void>;
  /** Has the page run as if the processor were so many times slower. */
  slow(times: number): Promise<void>;
  /** Counts what the page holds, after a collection of what it does not. */
  holds(): Promise<Held>;
  /** Runs a program in the page, whatever the page's policy for scripts is; returns what it ends with. */
  run<Result>(program: string): Promise<Result>;
  again(name: string): Promise<ChromiumTab>;
}

/** A browser; each visit is another visitor. */
export interface Browser<Kind extends Tab = Tab> {
  visit(name: string): Promise<Kind>;
  close(): Promise<void>;
}

/** Where a browser runs, if not on this machine's own network. */
export interface Away {
  /** A network namespace. */
  namespace: string;
  /** A site to be treated as if it had HTTPS. */
  origin: string;
}

/** `trusted` is the SHA-256 of a key that is believed whoever it belongs to, in Base64. */
export async function launchChromium(away?: Away, trusted?: string): Promise<Browser<ChromiumTab>> {
  const directory = await mkdtemp(join(tmpdir(), 'klieg-camera-'));
  await writeScene(join(directory, FILM));
  // The camera is named by the path it was given.
  process.chdir(directory);
  const args = [...CHROMIUM_FLAGS, `--use-file-for-fake-video-capture=${FILM}`];
  if (trusted !== undefined) args.push(`--ignore-certificate-errors-spki-list=${trusted}`);
  let executablePath = '/usr/bin/chromium';
  if (away !== undefined) {
    args.push(`--unsafely-treat-insecure-origin-as-secure=${away.origin}`);
    const wrapper = join(directory, 'chromium');
    await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${away.namespace} ${executablePath} "$@"\n`, { mode: 0o755 });
    executablePath = wrapper;
  }
  const browser = await chromium.launch({ executablePath, args });
  return {
    visit: async (name) => chromiumTab(await chromiumVisitor(browser), name),
    async close() {
      await browser.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

export async function launchFirefox(away?: Away): Promise<Browser> {
  const outside = away === undefined ? undefined : await bringOut(away.namespace);
  const browser = await puppeteer.launch({
    browser: 'firefox',
    executablePath: outside?.executablePath ?? '/usr/bin/firefox-esr',
    headless: true,
    extraPrefsFirefox: {
      ...FIREFOX_PREFS,
      ...away !== undefined && { 'dom.securecontext.allowlist': new URL(away.origin).hostname },
    },
    ...outside !== undefined && { debuggingPort: outside.port },
  });
  return {
    visit: async (name) => puppeteerTab(await browser.createBrowserContext(), name),
    async close() {
      await browser.close();
      await outside?.close();
    },
  };
}

/** Firefox listens for who steers it on its own loopback alone: this leads there from the same port of this machine's. */
async function bringOut(namespace: string): Promise<{ executablePath: string; port: number; close(): Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'klieg-firefox-'));
  const executablePath = join(directory, 'firefox');
  const entered = ['netns', 'exec', namespace];
  await writeFile(executablePath, `#!/bin/sh\nexec ip ${entered.join(' ')} /usr/bin/firefox-esr "$@"\n`, { mode: 0o755 });
  const door = createServer((outside) => {
    const { port } = door.address() as AddressInfo;
    const lead = `const inside = require('node:net').connect(${port}, '127.0.0.1'); process.stdin.pipe(inside).pipe(process.stdout);`;
    const inside = spawn('ip', [...entered, process.execPath, '--eval', lead], { stdio: ['pipe', 'pipe', 'inherit'] });
    outside.pipe(inside.stdin);
    inside.stdout.pipe(outside);
    outside.on('error', () => inside.kill());
    inside.stdin.on('error', () => outside.destroy());
  });
  door.listen(0, '127.0.0.1');
  await once(door, 'listening');
  return {
    executablePath,
    port: (door.address() as AddressInfo).port,
    async close() {
      door.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/**
 * Launches Chromium as people have it: of two tabs of one visitor, the one opened first is hidden, and its timers are slowed. The other one
 * keeps every page awake.
 */
export async function launchTabbedChromium(): Promise<Browser> {
  const browser = await puppeteer.launch({
    browser: 'chrome', executablePath: '/usr/bin/chromium', headless: true, args: CHROMIUM_FLAGS,
    ignoreDefaultArgs: ['--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding'],
  });
  return { visit: async (name) => puppeteerTab(browser.defaultBrowserContext(), name), close: () => browser.close() };
}

async function chromiumVisitor(browser: ChromiumBrowser): Promise<ChromiumContext> {
  const context = await browser.newContext({ viewport: VIEWPORT, colorScheme: 'dark' });
  context.setDefaultTimeout(ACT_WITHIN_MS);
  await context.addInitScript(remember);
  return context;
}

function chromiumTab(context: ChromiumContext, name: string): ChromiumTab {
  const errors: string[] = [];
  let page: ChromiumPage | undefined;

  async function current(): Promise<ChromiumPage> {
    if (page !== undefined) return page;
    page = await context.newPage();
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`);
    });
    return page;
  }

  return {
    name,
    errors,
    open: async (url) => void await (await current()).goto(url),
    look: async <Seen>(probe: (given: string) => Seen | Promise<Seen>, given = '') => await (await current()).evaluate(probe, given) as Seen,
    click: async (selector) => (await current()).click(selector),
    fill: async (selector, text) => (await current()).locator(selector).fill(text),
    async enter(selector, text) {
      const field = (await current()).locator(selector);
      await field.fill(text);
      await field.press('Enter');
    },
    async type(selector, lines) {
      const page = await current();
      await page.focus(selector);
      for (const line of lines) {
        await page.keyboard.type(line);
        await page.keyboard.press('Enter');
      }
    },
    choose: async (selector, value) => void await (await current()).selectOption(selector, value),
    picture: async () => (await current()).screenshot(),
    resize: async (width, height) => (await current()).setViewportSize({ width, height }),
    again: async (other) => chromiumTab(context, other),
    dress: async (colorScheme) => (await current()).emulateMedia({ colorScheme, reducedMotion: 'reduce' }),
    press: async (key) => (await current()).keyboard.press(key),
    async slow(rate) {
      // For as long as the session lasts, which is the page's.
      const session = await context.newCDPSession(await current());
      await session.send('Emulation.setCPUThrottlingRate', { rate });
    },
    async holds() {
      const session = await context.newCDPSession(await current());
      await session.send('HeapProfiler.collectGarbage');
      const { usedSize } = await session.send('Runtime.getHeapUsage');
      const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters');
      await session.detach();
      return { heapBytes: usedSize, nodes, listeners: jsEventListeners };
    },
    run: async (program) => (await current()).evaluate(program),
    // The visitor stays: a page opened later has the same storage.
    async close() {
      await page?.close();
      page = undefined;
    },
  };
}

function puppeteerTab(context: PuppeteerContext, name: string): Tab {
  const errors: string[] = [];
  let page: PuppeteerPage | undefined;

  async function current(): Promise<PuppeteerPage> {
    if (page !== undefined) return page;
    page = await context.newPage();
    page.setDefaultTimeout(ACT_WITHIN_MS);
    await page.setViewport(VIEWPORT);
    await page.evaluateOnNewDocument(remember);
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error') errors.push(`${message.text()} (${message.location().url})`);
    });
    return page;
  }

  return {
    name,
    errors,
    open: async (url) => void await (await current()).goto(url),
    look: async <Seen>(probe: (given: string) => Seen | Promise<Seen>, given = '') => await (await current()).evaluate(probe, given) as Seen,
    click: async (selector) => (await current()).locator(selector).click(),
    fill: async (selector, text) => (await current()).locator(selector).fill(text),
    async enter(selector, text) {
      await (await current()).locator(selector).fill(text);
      await (await current()).keyboard.press('Enter');
    },
    async type(selector, lines) {
      const page = await current();
      await page.focus(selector);
      for (const line of lines) {
        await page.keyboard.type(line);
        await page.keyboard.press('Enter');
      }
    },
    choose: async (selector, value) => void await (await current()).select(selector, value),
    picture: async () => (await current()).screenshot(),
    resize: async (width, height) => (await current()).setViewport({ width, height }),
    again: async (other) => puppeteerTab(context, other),
    async close() {
      await page?.close();
      page = undefined;
    },
  };
}

/** Waits until what `look` sees is right; fails with what it saw last. */
export async function until<Seen>(
  what: string, look: () => Promise<Seen>, right: (seen: Seen) => boolean, withinMs = 30_000,
): Promise<Seen> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (right(seen)) return seen;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${withinMs / 1000} s; last seen: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
