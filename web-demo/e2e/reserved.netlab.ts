/** Whoever asks a relay for reserved addresses has it send nothing there, as the network around it sees. Needs root, and coturn. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from './browsers.js';
import { startNetlab } from './netlab.js';
import type { Netlab } from './netlab.js';
import { startServerAt } from './server.js';

const run = promisify(execFile);

const HERE = join(import.meta.dirname, '../../loadtest/netlab');
const TABLE = join(import.meta.dirname, '../../turn-config/tests/refused.txt');
const SECRET = 'a secret of some length';
const PORT = 3478;
const PEER_PORT = 9000;
const FORBIDDEN = 403;
const LAST_WITHIN_MS = 5_000;

let netlab: Netlab;
let v6: { server: string; visitor: string };
let refused: string[];

beforeAll(async () => {
  netlab = await startNetlab();
  v6 = await netlab.addIpv6();
  refused = (await readFile(TABLE, 'utf8')).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
});

afterAll(async () => {
  await netlab?.close();
});

test('nothing leaves the server for a reserved address, in any notation, even where the whole internet may be reached', async () => {
  const server = await startServerAt({ namespace: netlab.server, host: netlab.host, media: '[::]' }, {
    KLIEG_MEDIA_ADDRESSES: `[${netlab.host},${v6.server}]`,
    KLIEG_RELAY_LISTEN: `${netlab.host}:${PORT}`,
    KLIEG_RELAY_PEERS: 'public',
    KLIEG_RELAY_ALLOW_PEERS: `["${netlab.guest}:${PEER_PORT}","[${v6.visitor}]:${PEER_PORT}"]`,
    KLIEG_TURN_SECRET: SECRET,
  });
  try {
    const { codes, leaks } = await askForAll();
    expect(refused.length).toBeGreaterThan(50);
    for (const address of refused) expect(codes[address], address).toEqual([FORBIDDEN, FORBIDDEN]);
    // What the operator names shows that anything else would have been seen.
    expect(codes[netlab.guest]).toEqual([0, 0]);
    expect([...leaks].sort()).toEqual([netlab.guest, v6.visitor]);
  } finally {
    await server.stop();
  }
});

test('Debian\'s coturn as it comes sends to private networks, which is seen', async () => {
  const child = spawn('ip', ['netns', 'exec', netlab.server, 'turnserver', '-n', '--listening-ip', netlab.host, '--listening-port', String(PORT),
    '--relay-ip', netlab.host, '--relay-ip', v6.server, '--use-auth-secret', '--static-auth-secret', SECRET, '--realm', 'klieg',
    '--no-tls', '--no-dtls', '--no-cli', '--log-file', 'stdout', '--pidfile', '/dev/null'], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  try {
    await until('coturn listens', () => listens(), (is) => is);
    const { leaks } = await askForAll();
    const leaked = refused.filter((address) => leaks.has(address));
    console.log(`coturn sent to ${leaked.length} of ${refused.length}: ${leaked.join(' ')}`);
    for (const address of ['10.0.0.0', '169.254.169.254', '192.168.0.0']) expect(leaked).toContain(address);
  } finally {
    child.kill();
    await exited;
  }
});

async function listens(): Promise<boolean> {
  const { stdout } = await run('ip', ['netns', 'exec', netlab.server, 'ss', '-Htln', `sport = :${PORT}`]);
  return stdout !== '';
}

/** Asks the relay for every address of the table, and says what it answered, and what the visitor's network and the server's own saw. */
async function askForAll(): Promise<{ codes: Record<string, number[]>; leaks: Set<string> }> {
  const watches = await Promise.all([netlab.server, netlab.visitor].map((namespace) => watchLeaks(namespace)));
  try {
    const { stdout } = await run('ip', ['netns', 'exec', netlab.visitor, 'python3', join(HERE, 'turn.py'), netlab.host, String(PORT), SECRET, TABLE,
      `${v6.visitor},${PEER_PORT}`, `${netlab.guest},${PEER_PORT}`]);
    const leaks = await Promise.all(watches.map((watch) => watch.ended()));
    return { codes: JSON.parse(stdout) as Record<string, number[]>, leaks: new Set(leaks.flat()) };
  } finally {
    for (const watch of watches) watch.close();
  }
}

/** Sees packets in a network namespace until one for the last address has come, which everything else precedes. */
async function watchLeaks(namespace: string) {
  const child = spawn('ip', ['netns', 'exec', namespace, 'python3', join(HERE, 'leaks.py'), netlab.guest], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    async ended(): Promise<string[]> {
      const found: string[] = [];
      const gaveUp = setTimeout(() => child.stdin.end(), LAST_WITHIN_MS);
      for await (const line of { [Symbol.asyncIterator]: () => lines }) found.push(line.split(' ')[1]!);
      clearTimeout(gaveUp);
      return found;
    },
    close: () => child.stdin.end(),
  };
}
