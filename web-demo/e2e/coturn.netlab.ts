/** Debian's coturn, set up as our template says, and Chromium that watches through it with credentials of ours, while its secret is being rotated. Needs root, and coturn. */

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, until } from './browsers.js';
import { makeCertificate } from './certificate.js';
import type { Certificate } from './certificate.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { framesSent, makeRoom, publishLayers, way } from './probe.js';
import { startServerAt } from './server.js';
import { frames, watch } from './visitors.js';

const run = promisify(execFile);

const TEMPLATE = join(import.meta.dirname, '../../turn-config/coturn.conf.template');
const OLD = 'the secret that was there before';
const NEW = 'the secret that comes after it';
const PLAIN_PORT = 3478;

let netlab: Netlab;
let certificate: Certificate;
let folder: string;
let coturn: ChildProcess;
let exited: Promise<unknown>;
/** As the head of the template has them for our settings. */
let urls: string[];

beforeAll(async () => {
  netlab = await startNetlab();
  await netlab.meet({ delay: 20 }, { delay: 20 });
  certificate = await makeCertificate();
  folder = await mkdtemp(join(tmpdir(), 'klieg-coturn-'));
  const filled = fill(await readFile(TEMPLATE, 'utf8'), {
    TURN_SECRET: OLD, TURN_HOST: netlab.host, PUBLIC_ADDRESS: netlab.host, KLIEG_MEDIA_ADDRESS: netlab.host,
    CERTIFICATE_FILE: certificate.file, KEY_FILE: certificate.key,
  });
  urls = [...filled.matchAll(/^# .*"(turns?:[^"]+)"/gm)].map(([, url]) => url!);
  const conf = join(folder, 'turnserver.conf');
  await writeFile(conf, `${filled}\nstatic-auth-secret=${NEW}\n`, { mode: 0o600 });
  coturn = spawn('ip', ['netns', 'exec', netlab.server, 'turnserver', '-c', conf, '--pidfile', join(folder, 'pid')], { stdio: 'ignore' });
  exited = once(coturn, 'exit');
  await until('coturn listens', listens, (is) => is);
});

afterAll(async () => {
  coturn?.kill();
  await exited;
  await netlab?.close();
  await certificate?.remove();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

test.each([
  ['udp', '^turn:.*=udp$', OLD],
  ['tcp', '^turn:.*=tcp$', NEW],
  ['tls', '^turns:', OLD],
])('a visitor who comes to coturn by %s watches, whichever of two secrets its credentials are from', async (protocol, pattern, secret) => {
  const server = await startServerAt({ namespace: netlab.server, host: netlab.host }, {
    KLIEG_NEW_ACCOUNT_ROLE: 'host', KLIEG_TURN_SECRET: secret, KLIEG_TURN_URLS: JSON.stringify(urls),
  });
  onTestFailed(() => console.log(server.log()));
  const [near, far] = await Promise.all([netlab.server, netlab.visitor].map((namespace) => launchChromium({ namespace, origin: server.url }, certificate.hash)));
  try {
    const host = await near!.visit('the host');
    await host.open(server.url);
    const made = await host.look(makeRoom);
    await host.look(publishLayers, JSON.stringify({ ...made, rates: [100_000, 300_000, 1_200_000], squares: 4 }));
    await until('the host sends', () => host.look(framesSent), (sent) => (sent['f'] ?? 0) > 30);
    const viewer = await far!.visit(`a visitor by ${protocol}`);
    await viewer.open(server.url);
    await viewer.look((wanted) => sessionStorage.setItem('test-relay', wanted), pattern);
    const began = Date.now();
    await watch(viewer, server.url, made.room);
    console.log(`watches by ${protocol} after ${Date.now() - began} ms`);
    await frames(viewer, 100);
    expect(await viewer.look(way)).toBe(`relay ${protocol}`);
    expect([host, viewer].flatMap((visitor) => visitor.errors)).toEqual([]);
  } finally {
    process.chdir(import.meta.dirname);
    await Promise.allSettled([near!.close(), far!.close()]);
    await server.stop();
  }
});

/** Puts values where the template has names, all of them. */
function fill(template: string, values: Record<string, string>): string {
  const named = new Set(template.match(/@[A-Z_]+@/g));
  // As its head calls them all.
  named.delete('@NAME@');
  expect([...named].sort()).toEqual(Object.keys(values).map((name) => `@${name}@`).sort());
  return template.replace(/@([A-Z_]+)@/g, (_, name: string) => values[name] ?? '');
}

async function listens(): Promise<boolean> {
  const { stdout } = await run('ip', ['netns', 'exec', netlab.server, 'ss', '-Htln', `sport = :${PLAIN_PORT}`]);
  return stdout !== '';
}
