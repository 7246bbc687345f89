/** The chat and the reactions of a room, as values. */

import { Chat, KliegError } from '@klieg/client';
import type { ChatMessage, ChatOptions, ChatSettings, Page, Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';
import { describeError } from '../messages/index.js';

/** A line that the visitor wrote and that is not in the chat. */
export interface UnsentLine {
  key: number;
  text: string;
  /** What it was sent with. */
  options: ChatOptions;
  /** When it may be sent again, in milliseconds since 1970, where the server said so. */
  again?: number;
  /** Why it was refused, in words; empty while it is on its way. */
  reason: string;
}

/** How long an announcement is shown over the picture. */
const ANNOUNCED_MS = 10_000;
/** One that was missed for so long is read in the chat alone. */
const STALE_MS = 30_000;

/** What the server sends of a chat to those who come: so many lines at most, and so many bytes. */
const HISTORY_LINES = 100;
const HISTORY_BYTES = 128 * 1024;

/** Returns whether there may be lines before those that came. */
function isCut(history: readonly ChatMessage[]): boolean {
  return history.length >= HISTORY_LINES || JSON.stringify(history).length > HISTORY_BYTES / 4;
}

/** Joins the chat of a room; `older` fetches lines from before a number. */
export function useChat(room: Room, older: (before: number) => Promise<Page<ChatMessage>>) {
  const chat = new Chat(room);
  const messages = shallowRef<readonly ChatMessage[]>([]);
  /** Oldest first. */
  const unsent = shallowRef<readonly UnsentLine[]>([]);
  const pinned = shallowRef<ChatMessage | null>(null);
  const settings = shallowRef<ChatSettings>();
  /** Whether the last line waits for a moderator. */
  const held = ref(false);
  /** Whether there may be older lines than those here. */
  const more = ref(true);
  const loading = ref(false);
  /** Whether lines have to wait for the connection. */
  const lost = ref(false);
  /** What was announced just now. */
  const announced = shallowRef<ChatMessage>();
  let announcedTimer: ReturnType<typeof setTimeout> | undefined;
  let lines = 0;

  chat.on('messages', (value) => { messages.value = value; });
  chat.on('message', (message) => {
    if (message.kind !== 'system' || message.deleted || (room.clock.now() ?? message.ts) - message.ts > STALE_MS) return;
    announced.value = message;
    clearTimeout(announcedTimer);
    announcedTimer = setTimeout(() => { announced.value = undefined; }, ANNOUNCED_MS);
  });
  chat.on('pinned', (value) => { pinned.value = value; });
  const stops = [
    room.on('joined', ({ chatHistory }) => {
      if (messages.value.length <= chatHistory.length) more.value = isCut(chatHistory);
    }),
    room.on('connection', ({ connection }) => { lost.value = connection === 'reconnecting'; }),
    room.on('chatSettings', (value) => { settings.value = value; }),
    room.on('deleted', ({ messageId }) => {
      if (announced.value?.messageId === messageId) announced.value = undefined;
    }),
  ];
  onScopeDispose(() => {
    clearTimeout(announcedTimer);
    for (const stop of stops) stop();
    chat.close();
  });

  /** Takes a line to be sent after those before it. */
  async function send(text: string, options: ChatOptions = {}): Promise<void> {
    const key = lines++;
    unsent.value = [...unsent.value, { key, text, options, reason: '' }];
    try {
      held.value = await chat.send(text, options);
      forget(key);
    } catch (thrown) {
      const error = KliegError.from(thrown);
      const refused = { reason: describeError(error), ...error.retryAfterMs !== undefined && { again: Date.now() + error.retryAfterMs } };
      unsent.value = unsent.value.map((line) => line.key === key ? { ...line, ...refused } : line);
    }
  }

  /** Fetches lines from before those that are here. */
  async function earlier(): Promise<void> {
    const [first] = messages.value;
    if (loading.value || first === undefined) return;
    loading.value = true;
    try {
      const page = await older(first.seq);
      chat.prepend(page.items);
      more.value = page.nextCursor !== null;
    } catch {
      // The button stays: the visitor presses it again.
    } finally {
      loading.value = false;
    }
  }

  /** Drops a refused line: it was put back into the field, or is given up. */
  function forget(key: number): void {
    unsent.value = unsent.value.filter((line) => line.key !== key);
  }

  return {
    chat, messages, pinned, announced, settings, held, more, loading, unsent, lost, send, earlier, forget,
    react: (emoji: string) => chat.react(emoji),
  };
}
