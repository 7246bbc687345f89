/** The load test's report, as somebody opens the file: no server, no network. */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startServer } from './server.js';
import type { Server } from './server.js';

const program = resolve(process.env['LOADTEST_BIN'] ?? join(import.meta.dirname, '../../target/debug/klieg-loadtest'));

let server: Server;
let browser: Browser;
let directory: string;

beforeAll(async () => {
  if (!existsSync(program)) throw new Error(`no load test at ${program}: build it first, or name it in LOADTEST_BIN`);
  directory = await mkdtemp(join(tmpdir(), 'klieg-report-'));
  server = await startServer();
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
  await rm(directory, { recursive: true, force: true });
});

test('the report opens without a network, says what was measured, and draws it', async () => {
  const path = join(directory, 'report.html');
  const options = ['--http', server.url, '--publishers', '1', '--viewers', '10', '--conformance', '1', '--duration', '4s', '--html', path];
  await promisify(execFile)(program, options);

  const context = await browser.newContext({ offline: true });
  const page = await context.newPage();
  const errors: string[] = [];
  const asked: string[] = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => errors.push(message.text()));
  page.on('request', (request) => asked.push(request.url()));
  const url = pathToFileURL(path).href;
  await page.goto(url);

  expect(await page.textContent('pre')).toContain('10 of 10 visits got a whole picture');
  expect(await page.textContent('pre')).toContain('complete: first whole picture');
  const titles = await page.locator('figcaption').allTextContents();
  expect(titles).toContain('Viewers connected');
  expect(titles).toContain('Server: memory, MiB');
  for (const line of await page.locator('polyline').all()) {
    expect((await line.getAttribute('points'))?.split(' ').length).toBeGreaterThan(1);
  }
  expect(errors).toEqual([]);
  expect(asked).toEqual([url]);
});
