/** What the audience says: lines of chat that arrive once whatever the network does, and reactions. */

import { backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { ChatMessage, ChatOptions } from './protocol.js';
import type { Room } from './room.js';

/** Older lines are forgotten; paging brings them back. */
const KEPT_MESSAGES = 300;
/** Lines that wait to be sent; more are refused. */
const MAX_UNSENT = 20;
const SEND_ATTEMPTS = 4;
/** A wait that the server asks for is kept up to here; a longer one is for people to know. */
const LONGEST_WAIT_MS = 2_000;
/** Each time it says so, one line of the same person got through from elsewhere. */
const RATE_LIMITED_ATTEMPTS = 20;
/** The server closes sockets that send more than 20 messages a second. */
const REACTIONS_PER_SECOND = 8;

/** What a `Chat` tells. */
export interface ChatEvents {
  /** The lines kept, oldest first; a new array at each change. */
  messages: readonly ChatMessage[];
  /** What everybody sees first; `null` for nothing. */
  pinned: ChatMessage | null;
  /** One new line, after it is in `messages`. */
  message: ChatMessage;
  /** How many of each reaction came since the last such event. */
  reactions: Record<string, number>;
}

/** The chat of a room. */
export class Chat extends Emitter<ChatEvents> {
  #room: Room;
  #messages: readonly ChatMessage[] = [];
  #pinned: ChatMessage | null = null;
  /** When the last reactions were sent, in milliseconds, oldest first. */
  #reactedAt: number[] = [];
  /** Settles when the line handed over last is sent or refused. */
  #last: Promise<void> = Promise.resolve();
  /** Lines that are neither sent nor refused yet. */
  #unsent = 0;
  #closed = false;
  #stop: (() => void)[];

  constructor(room: Room) {
    super();
    this.#room = room;
    this.#stop = [
      room.on('joined', ({ chatHistory }) => this.#set(merge(this.#messages, chatHistory))),
      room.on('message', (message) => this.#add(message)),
      room.on('deleted', ({ messageId }) => this.#bury(messageId)),
      room.on('pinned', (message) => this.#pin(message)),
      room.on('reactions', (counts) => this.emit('reactions', counts)),
    ];
  }

  get messages(): readonly ChatMessage[] { return this.#messages; }
  get pinned(): ChatMessage | null { return this.#pinned; }

  /** Puts older lines, as `Api.chat` returns them, before those that are here; no more are kept than before, the oldest first. */
  prepend(older: readonly ChatMessage[]): void {
    this.#set(merge(this.#messages, older, this.#messages.length + older.length));
  }

  /**
   * Sends a line after those before it; resolves once it is on the server's disk. Waits out a lost connection. Fails with
   * `queue_full` when too many lines wait already. Resolves with whether a moderator looks at it first.
   */
  send(text: string, options: ChatOptions = {}): Promise<boolean> {
    if (this.#unsent >= MAX_UNSENT) return Promise.reject(new KliegError('queue_full'));
    this.#unsent++;
    const by = this.#room.you?.id;
    const sent = this.#last.then(() => this.#deliver({ text, ...options }, by)).finally(() => { this.#unsent--; });
    this.#last = sent.then(() => {}, () => {}); // Told to whoever sent it; the next one may still be good.
    return sent;
  }

  /** Sends a reaction; returns false when too many were sent within a second, or there is no connection. */
  react(emoji: string, now = Date.now()): boolean {
    this.#reactedAt = this.#reactedAt.filter((at) => now - at < 1000);
    if (this.#reactedAt.length >= REACTIONS_PER_SECOND || this.#room.connection !== 'joined') return false;
    this.#reactedAt.push(now);
    this.#room.request('reaction.send', { emoji }).catch(() => {}); // A lost heart is not worth a word.
    return true;
  }

  /** Stops listening to the room; lines that wait are not sent. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#stop) stop();
  }

  /** Sends a line that `by` wrote; `undefined` is whoever joins first. */
  async #deliver(line: { text: string } & ChatOptions, by: string | undefined): Promise<boolean> {
    // One id for all attempts: the server stores the line once, for one person.
    const id = uniqueId();
    for (let attempt = 0; ;) {
      if (this.#closed || (by !== undefined && by !== this.#room.you?.id)) throw new KliegError('disconnected');
      try {
        return (await this.#room.request('chat.send', line, id)).held === true;
      } catch (thrown) {
        const error = KliegError.from(thrown);
        if (error.code === 'disconnected' && this.#room.connection !== 'joined') {
          await this.#joined();
        } else {
          if (!worthAnother(error, ++attempt)) throw error;
          await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? backoff(attempt - 1)));
        }
      }
    }
  }

  /** Resolves when the room is there again; fails when it never will be. */
  #joined(): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const { connection } = this.#room;
        if (connection !== 'joined' && connection !== 'closed' && !this.#closed) return;
        for (const stop of stops) stop();
        if (connection === 'joined') resolve();
        else reject(new KliegError('disconnected'));
      };
      const stops = [this.#room.on('connection', look)];
      look();
    });
  }

  #add(message: ChatMessage): void {
    const before = this.#messages;
    this.#set(merge(before, [message]));
    if (this.#messages !== before) this.emit('message', message);
  }

  /** Takes away what a line said. */
  #bury(messageId: string): void {
    if (this.#pinned?.messageId === messageId) this.#pin(null);
    if (!this.#messages.some((message) => message.messageId === messageId)) return;
    this.#set(this.#messages.map((message) => message.messageId === messageId ? tombstone(message) : message));
  }

  #pin(message: ChatMessage | null): void {
    this.#pinned = message;
    this.emit('pinned', message);
  }

  #set(messages: readonly ChatMessage[]): void {
    if (messages === this.#messages) return;
    this.#messages = messages;
    this.emit('messages', messages);
  }
}

/**
 * Joins two lists by `messageId` in the order of `seq`; returns `kept` itself when nothing is new. What was taken away since
 * it was kept is taken from there, too.
 */
export function merge(kept: readonly ChatMessage[], more: readonly ChatMessage[], most = KEPT_MESSAGES): readonly ChatMessage[] {
  const known = new Map(kept.map((message) => [message.messageId, message]));
  const fresh = more.filter(({ messageId, deleted = false }) => (known.get(messageId)?.deleted ?? false) !== deleted || !known.has(messageId));
  if (fresh.length === 0) return kept;
  for (const message of fresh) known.set(message.messageId, message);
  return [...known.values()].sort((a, b) => a.seq - b.seq).slice(-Math.max(most, KEPT_MESSAGES));
}

function tombstone({ mentions: _mentions, replyTo: _replyTo, ...message }: ChatMessage): ChatMessage {
  return { ...message, text: '', deleted: true };
}

/** Whether a line that failed `attempt` times may get through the next time. */
function worthAnother({ code, retryAfterMs }: KliegError, attempt: number): boolean {
  if (code === 'rate_limited') return attempt < RATE_LIMITED_ATTEMPTS && retryAfterMs !== undefined && retryAfterMs <= LONGEST_WAIT_MS;
  return ['disconnected', 'timeout', 'busy'].includes(code) && attempt < SEND_ATTEMPTS;
}

/** `crypto.randomUUID` is missing on pages without HTTPS. */
function uniqueId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
