/** Chromium and Firefox, with a page of another origin than the server's and the snippet of docs/encoders.md. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emit, emitOnce, run } from './control.mjs';

const CHROMIUM_FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream=fps=30', '--autoplay-policy=no-user-gesture-required',
];
const FIREFOX_PREFS = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
};
const LOOK_EVERY_MS = 100;

const launch = {
  async chromium(profile) {
    const { chromium } = await import('playwright-core');
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.KLIEG_CHROMIUM ?? '/usr/bin/chromium', headless: true, args: CHROMIUM_FLAGS,
    });
    return { page: await context.newPage(), close: () => context.close(), version: context.browser()?.version() };
  },
  async firefox(profile) {
    const { default: puppeteer } = await import('puppeteer-core');
    const browser = await puppeteer.launch({
      browser: 'firefox', executablePath: process.env.KLIEG_FIREFOX ?? '/usr/bin/firefox-esr', headless: true,
      extraPrefsFirefox: FIREFOX_PREFS, userDataDir: profile,
    });
    return { page: await browser.newPage(), close: () => browser.close(), version: await browser.version() };
  },
};

async function open(role, options) {
  const profile = await mkdtemp(join(tmpdir(), 'klieg-interop-'));
  const browser = await launch[options.name](profile);
  const { page } = browser;
  page.on('pageerror', (error) => process.stderr.write(`${error}\n`));
  page.on('console', (message) => process.stderr.write(`${message.text()}\n`));
  await page.exposeFunction('tell', (state) => {
    if (state === 'connected') emit('connected');
    if (['closed', 'failed', 'disconnected'].includes(state)) emit('ended', { state });
  });
  await page.goto(process.env.KLIEG_INTEROP_PAGE);
  await page.waitForFunction(() => window.ready);
  const { url, token, codec, layers } = options;
  const session = await page.evaluate((...args) => window.start(...args[0]), [role, { url, token, codec, layers }]);
  emit('session', { url: session, version: browser.version });
  const count = () => page.evaluate(() => window.count());
  const timer = setInterval(async () => {
    const { frames } = await count().catch(() => ({ frames: 0 }));
    if (frames === 0) return;
    clearInterval(timer);
    emitOnce('media');
  }, LOOK_EVERY_MS);
  return {
    count,
    restart: () => page.evaluate(() => window.restart()),
    async close() {
      const status = await page.evaluate(() => window.end());
      await browser.close();
      await rm(profile, { recursive: true, force: true });
      if (status !== 200) throw new Error(`DELETE: ${status}`);
    },
  };
}

await run({ publish: (options) => open('publish', options), watch: (options) => open('watch', options) });
