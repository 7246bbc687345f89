/** What the audience says: lines of chat that arrive once whatever the network does, and reactions. */

import { backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { ChatMessage } from './protocol.js';
import type { Room } from './room.js';

/** Older lines are forgotten; paging brings them back. */
const KEPT_MESSAGES = 300;
const SEND_ATTEMPTS = 4;
/** The server closes sockets that send more than 20 messages a second. */
const REACTIONS_PER_SECOND = 8;

/** What a `Chat` tells. */
export interface ChatEvents {
  /** The lines kept, oldest first; a new array at each change. */
  messages: readonly ChatMessage[];
  /** One new line, after it is in `messages`. */
  message: ChatMessage;
  /** How many of each reaction came since the last such event. */
  reactions: Record<string, number>;
}

/** The chat of a room. */
export class Chat extends Emitter<ChatEvents> {
  #room: Room;
  #messages: readonly ChatMessage[] = [];
  /** When the last reactions were sent, in milliseconds, oldest first. */
  #reactedAt: number[] = [];
  #stop: (() => void)[];

  constructor(room: Room) {
    super();
    this.#room = room;
    this.#stop = [
      room.on('joined', ({ chatHistory }) => this.#set(merge(this.#messages, chatHistory))),
      room.on('message', (message) => this.#add(message)),
      room.on('reactions', (counts) => this.emit('reactions', counts)),
    ];
  }

  get messages(): readonly ChatMessage[] { return this.#messages; }

  /** Sends a line; resolves once it is on the server's disk. */
  async send(text: string): Promise<void> {
    // One id for all attempts: the server stores the line once.
    const id = uniqueId();
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#room.request('chat.send', { text }, id);
        return;
      } catch (thrown) {
        const error = KliegError.from(thrown);
        if (!['disconnected', 'timeout', 'busy'].includes(error.code) || attempt + 1 >= SEND_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, error.retryAfterMs ?? backoff(attempt)));
      }
    }
  }

  /** Sends a reaction; returns false when too many were sent within a second, or there is no connection. */
  react(emoji: string, now = Date.now()): boolean {
    this.#reactedAt = this.#reactedAt.filter((at) => now - at < 1000);
    if (this.#reactedAt.length >= REACTIONS_PER_SECOND || this.#room.connection !== 'joined') return false;
    this.#reactedAt.push(now);
    this.#room.request('reaction.send', { emoji }).catch(() => {}); // A lost heart is not worth a word.
    return true;
  }

  /** Stops listening to the room. */
  close(): void {
    for (const stop of this.#stop) stop();
  }

  #add(message: ChatMessage): void {
    const before = this.#messages;
    this.#set(merge(before, [message]));
    if (this.#messages !== before) this.emit('message', message);
  }

  #set(messages: readonly ChatMessage[]): void {
    if (messages === this.#messages) return;
    this.#messages = messages;
    this.emit('messages', messages);
  }
}

/** Joins two lists by `messageId` in the order of `seq`; returns `kept` itself when nothing is new. */
export function merge(kept: readonly ChatMessage[], more: readonly ChatMessage[]): readonly ChatMessage[] {
  const known = new Set(kept.map(({ messageId }) => messageId));
  const fresh = more.filter(({ messageId }) => !known.has(messageId));
  if (fresh.length === 0) return kept;
  return [...kept, ...fresh].sort((a, b) => a.seq - b.seq).slice(-KEPT_MESSAGES);
}

/** `crypto.randomUUID` is missing on pages without HTTPS. */
function uniqueId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
