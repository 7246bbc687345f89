/** One WebSocket to the server: pairs requests with their answers and notices when the other end is gone. */

import { localNow, ServerClock } from './clock.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { Ack, ClientMessages, ServerMessages } from './protocol.js';

const ANSWER_WITHIN_MS = 10_000;
const PING_EVERY_MS = 15_000;

/** A message of the server that is no answer. */
export type ServerMessage = {
  [Type in keyof ServerMessages]: { t: Type; seq?: number; ts?: number; d: ServerMessages[Type] };
}[keyof ServerMessages];

interface WireEvents {
  open: void;
  message: ServerMessage;
  /** The last event: after it nothing is sent or received. */
  closed: { code: number };
}

interface Waiting {
  resolve: (ack: Ack) => void;
  reject: (error: KliegError) => void;
  sentAt: number;
  timer: ReturnType<typeof setTimeout>;
}

/** A socket from its opening to its end; it is not opened again. */
export class Wire extends Emitter<WireEvents> {
  /** What answers tell of the server's clock. */
  readonly clock: ServerClock;
  #socket: WebSocket;
  /** Requests without an answer yet, by id. */
  #waiting = new Map<string, Waiting>();
  #nextId = 1;
  /** Gives up on an opening that takes too long. */
  #opening: ReturnType<typeof setTimeout>;
  #ping: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  constructor(socket: WebSocket, clock = new ServerClock()) {
    super();
    this.clock = clock;
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#end(1006), ANSWER_WITHIN_MS);
    socket.addEventListener('open', () => this.#handleOpen());
    socket.addEventListener('message', (event) => this.#handleFrame(event.data));
    socket.addEventListener('close', (event) => this.#end(event.code));
  }

  /** Sends a request; the promise settles with its answer, or fails when none can come. */
  request<Type extends keyof ClientMessages>(t: Type, d: ClientMessages[Type], id?: string): Promise<Ack> {
    const key = id ?? String(this.#nextId++);
    return new Promise((resolve, reject) => {
      if (this.#closed || this.#socket.readyState !== this.#socket.OPEN) {
        reject(new KliegError('disconnected'));
        return;
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(key);
        reject(new KliegError('timeout'));
      }, ANSWER_WITHIN_MS);
      this.#waiting.set(key, { resolve, reject, sentAt: localNow(), timer });
      this.#socket.send(JSON.stringify({ t, id: key, d }));
    });
  }

  /** Ends the connection now, without waiting for the other end. */
  close(): void {
    this.#end(1000);
  }

  #handleOpen(): void {
    if (this.#closed) return;
    clearTimeout(this.#opening);
    this.#ping = setInterval(() => {
      this.request('ping', {}).catch((error: KliegError) => {
        // TCP may take minutes to notice a dead path.
        if (error.code === 'timeout') this.#end(1006);
      });
    }, PING_EVERY_MS);
    this.emit('open', undefined);
  }

  #handleFrame(data: unknown): void {
    for (const message of parse(data)) {
      // What one message led to may have ended the connection.
      if (!this.#closed) this.#handleMessage(message);
    }
  }

  #handleMessage(message: Envelope): void {
    if (message.t === 'ack' || message.t === 'error') {
      this.#handleAnswer(message.t, message.d, message.ts);
    } else {
      // Unknown types reach nobody: a newer server may send more than this client knows.
      this.emit('message', message as unknown as ServerMessage);
    }
  }

  #handleAnswer(t: 'ack' | 'error', d: Record<string, unknown>, ts: unknown): void {
    const re = String(d['re']);
    const waiting = this.#waiting.get(re);
    if (waiting === undefined) return;
    this.#waiting.delete(re);
    clearTimeout(waiting.timer);
    if (typeof ts === 'number') this.clock.sample(waiting.sentAt, localNow(), ts);
    if (t === 'ack') {
      waiting.resolve(d as unknown as Ack);
    } else {
      const retryAfterMs = typeof d['retryAfterMs'] === 'number' ? d['retryAfterMs'] : undefined;
      waiting.reject(new KliegError(String(d['code']), String(d['message']), retryAfterMs));
    }
  }

  #end(code: number): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#opening);
    clearInterval(this.#ping);
    this.#socket.close();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new KliegError('disconnected'));
    }
    this.#waiting.clear();
    this.emit('closed', { code });
  }
}

interface Envelope {
  t: string;
  ts?: unknown;
  d: Record<string, unknown>;
}

/** Reads a frame: one envelope, or several in an array; what is none is left out. */
function parse(data: unknown): Envelope[] {
  if (typeof data !== 'string') return [];
  try {
    const frame = JSON.parse(data) as unknown;
    return (Array.isArray(frame) ? frame : [frame]).flatMap((one: { t?: unknown; ts?: unknown; d?: Record<string, unknown> } | null) => {
      const { d = {}, ...envelope } = one ?? {};
      return typeof envelope.t === 'string' ? [{ ...envelope, t: envelope.t, d }] : [];
    });
  } catch {
    return [];
  }
}
