/** What every peer written for Node shares: its command line, its commands, and the lines it answers with. */

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

/**
 * @typedef {object} Options
 * @property {string} url - The WHIP or WHEP endpoint.
 * @property {string | undefined} token - The stream key or token.
 * @property {'vp8' | 'h264'} codec - What is published, or what a watcher prefers.
 * @property {string} name - Which of the stacks of one file it is.
 * @property {number} layers - How many simulcast layers are published.
 * @property {boolean} without-udp - Whether the server's candidates of UDP are left out.
 *
 * @typedef {object} Peer
 * @property {() => object | Promise<object>} count - Frames so far, as `{frames}`, and what else is worth showing.
 * @property {() => Promise<void>} close - Ends the session with `DELETE`.
 * @property {(() => Promise<void>)=} restart - Restarts ICE through `PATCH`.
 * @property {((token: string) => Promise<void>)=} trickle - Sends candidates through `PATCH`.
 */

/** Writes one event as a line of JSON. */
export function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

const told = new Set();

/** Writes an event the first time only. */
export function emitOnce(event, fields = {}) {
  if (told.has(event)) return;
  told.add(event);
  emit(event, fields);
}

/** Runs `publish` or `watch`, then obeys the lines of standard input until `stop` or its end. */
export async function run(stack) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      token: { type: 'string' },
      codec: { type: 'string', default: 'vp8' },
      name: { type: 'string', default: '' },
      layers: { type: 'string', default: '1' },
      'without-udp': { type: 'boolean', default: false },
    },
  });
  const role = positionals[0];
  try {
    const peer = await stack[role]({ ...values, layers: Number(values.layers) });
    await obey(peer);
    process.exit(0);
  } catch (error) {
    emit('error', { text: String(error?.stack ?? error) });
    process.exit(1);
  }
}

async function obey(peer) {
  for await (const command of createInterface({ input: process.stdin })) {
    if (command === 'count') emit('count', await peer.count());
    else if (command === 'stop') return await peer.close().then(() => emit('closed'));
    else if (command === 'restart') await peer.restart().then(() => emit('restarted'));
    else throw new Error(`unknown command ${command}`);
  }
}

/** Calls `send` for every frame that is due, at a steady rate however late the timer is; returns how to stop it. */
export function pace(framesPerSecond, send) {
  const began = performance.now();
  let frame = 0;
  const timer = setInterval(() => {
    const due = Math.floor((performance.now() - began) * framesPerSecond / 1000);
    while (frame <= due) send(frame++);
  }, 5);
  return () => clearInterval(timer);
}
