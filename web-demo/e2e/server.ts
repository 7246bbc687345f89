/** The real server, in a directory of its own, on ports that nobody else has. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 10_000;
/** Enough to see what went wrong, and bounded. */
const KEPT_LOG_LINES = 200;

const binary = resolve(process.env['KLIEG_BIN'] ?? join(import.meta.dirname, '../../target/debug/klieg'));

export interface Server {
  /** Such as `http://127.0.0.1:40123`. */
  url: string;
  /** The last lines the server wrote. */
  log(): string;
  stop(): Promise<void>;
}

/** Starts a server for development and waits until it says where it listens. */
export async function startServer(): Promise<Server> {
  if (!existsSync(binary)) throw new Error(`no server at ${binary}: build it first, or name it in KLIEG_BIN`);
  const data = await mkdtemp(join(tmpdir(), 'klieg-e2e-'));
  const lines: string[] = [];
  const child = spawn(binary, ['--dev', '--http', '127.0.0.1:0', '--media', '127.0.0.1:0', '--data', data], {
    cwd: data,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  const log = () => lines.join('\n');

  async function stop(): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await exited;
      clearTimeout(timer);
    }
    await rm(data, { recursive: true, force: true });
  }

  const url = await new Promise<string>((resolveUrl, reject) => {
    const fail = (why: string) => reject(new Error(`${why}; the server wrote:\n${log()}`));
    const timer = setTimeout(() => fail(`not listening after ${READY_WITHIN_MS / 1000} s`), READY_WITHIN_MS);
    const read = (chunk: Buffer) => {
      lines.push(...chunk.toString().split('\n').filter((line) => line !== ''));
      lines.splice(0, lines.length - KEPT_LOG_LINES);
      const found = /klieg listening .*?http=(http:\/\/\S+)/.exec(chunk.toString());
      if (found?.[1] === undefined) return;
      clearTimeout(timer);
      resolveUrl(found[1]);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', (error) => fail(String(error)));
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      fail(`exited with ${code ?? signal}`);
    });
  }).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return { url, log, stop };
}
