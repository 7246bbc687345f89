/** The real server, in a directory of its own, on ports that nobody else has. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 10_000;
/** Enough to see what went wrong, and bounded. */
const KEPT_LOG_LINES = 200;

/** The program. */
export const binary = resolve(process.env['KLIEG_BIN'] ?? join(import.meta.dirname, '../../target/debug/klieg'));

export interface Server {
  /** Such as `http://127.0.0.1:40123`. */
  url: string;
  /** The last lines the server wrote. */
  log(): string;
  /** Ends the server as a power cut would, and starts it again where it was, after so long. */
  crash(downMs: number): Promise<void>;
  /** Makes the account of an admin, as operators do. */
  addAdmin(name: string, password: string): Promise<void>;
  stop(): Promise<void>;
}

/** Where a server runs, if not on this machine's own network. */
export interface Place {
  /** A network namespace. */
  namespace: string;
  host: string;
  /** Where media comes, if not to that address alone. */
  media?: string;
  /** The one port of everything, if not any that are free. */
  port?: number;
}

/** Where the program listens. */
interface Addresses {
  scheme: string;
  http: string;
  media: string;
}

/** One run of the program. */
interface Run extends Addresses {
  child: ChildProcess;
  exited: Promise<unknown>;
}

/** Starts a server for development, with settings as its environment has them, and waits until it says where it listens. */
export function startServer(settings: Record<string, string> = {}): Promise<Server> {
  return startWith([binary, '--dev'], settings);
}

/** Starts a server as operators do: nobody signs in without a password. */
export function startServerForAccounts(settings: Record<string, string> = {}): Promise<Server> {
  return startWith([binary], settings);
}

/** Starts a server as operators do, in a network namespace. */
export function startServerAt({ namespace, host, media = host, port = 0 }: Place, settings: Record<string, string>): Promise<Server> {
  return startWith(['ip', 'netns', 'exec', namespace, binary], settings, { http: host, media, port });
}

async function startWith(command: string[], settings: Record<string, string>, hosts = { http: '127.0.0.1', media: '0.0.0.0', port: 0 }): Promise<Server> {
  if (!existsSync(binary)) throw new Error(`no server at ${binary}: build it first, or name it in KLIEG_BIN`);
  const data = await mkdtemp(join(tmpdir(), 'klieg-e2e-'));
  const lines: string[] = [];
  // Media on every interface, as by default: an ordinary Firefox reaches none on loopback.
  const starting = (http: string, media: string) => start([...command, '--http', http, '--media', media, '--data', data], settings, lines);
  let run = await starting(`${hosts.http}:${hosts.port}`, `${hosts.media}:${hosts.port}`);
  return {
    url: `${run.scheme}://${run.http}`,
    log: () => lines.join('\n'),
    async crash(downMs) {
      run.child.kill('SIGKILL');
      await run.exited;
      await sleep(downMs);
      run = await starting(run.http, `${hosts.media}:${run.media.split(':').at(-1)}`);
    },
    async addAdmin(name, password) {
      const child = spawn(binary, ['user', 'add', name, '--role', 'admin', '--data', data], { stdio: ['pipe', 'ignore', 'inherit'] });
      child.stdin.end(password);
      const [code] = await once(child, 'exit') as [number];
      if (code !== 0) throw new Error(`klieg user add ended with ${code}`);
    },
    async stop() {
      await end(run);
      await rm(data, { recursive: true, force: true });
    },
  };
}

async function start([program, ...flags]: string[], settings: Record<string, string>, lines: string[]): Promise<Run> {
  const child = spawn(program!, flags, {
    cwd: tmpdir(),
    env: { ...process.env, ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit').catch(() => {}); // That it could not be spawned is told below.
  try {
    return { child, exited, ...await listening(child, lines) };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

/** Reads the line that says which addresses the server has. */
function listening(child: ChildProcess, lines: string[]): Promise<Addresses> {
  return new Promise((resolveAddresses, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new Error(`${why}; the server wrote:\n${lines.join('\n')}`));
    };
    const timer = setTimeout(() => fail(`not listening after ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS);
    const read = (line: string) => {
      lines.push(line);
      lines.splice(0, lines.length - KEPT_LOG_LINES);
      const { scheme, http, media } = /^klieg listening http=(?<scheme>https?):\/\/(?<http>\S+) media=(?<media>\S+)/.exec(line)?.groups ?? {};
      if (scheme === undefined || http === undefined || media === undefined) return;
      clearTimeout(timer);
      resolveAddresses({ scheme, http, media });
    };
    createInterface({ input: child.stdout! }).on('line', read);
    createInterface({ input: child.stderr! }).on('line', read);
    child.once('error', (error) => fail(String(error)));
    child.once('exit', (code, signal) => fail(`exited with ${code ?? signal}`));
  });
}

async function end({ child, exited }: Run): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await exited;
  clearTimeout(timer);
}
