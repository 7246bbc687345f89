/** The chat and the reactions of a room, as values. */

import { Chat, KliegError, describeError } from '@klieg/client';
import type { ChatMessage, Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';

/** A line that the visitor wrote and that is not in the chat. */
export interface UnsentLine {
  key: number;
  text: string;
  /** Why it was refused, in words; empty while it is on its way. */
  reason: string;
}

/** Joins the chat of a room. */
export function useChat(room: Room) {
  const chat = new Chat(room);
  const messages = shallowRef<readonly ChatMessage[]>([]);
  /** Oldest first. */
  const unsent = shallowRef<readonly UnsentLine[]>([]);
  /** Whether lines have to wait for the connection. */
  const lost = ref(false);
  let lines = 0;

  chat.on('messages', (value) => { messages.value = value; });
  const stop = room.on('connection', ({ connection }) => { lost.value = connection === 'reconnecting'; });
  onScopeDispose(() => {
    stop();
    chat.close();
  });

  /** Takes a line to be sent after those before it. */
  async function send(text: string): Promise<void> {
    const key = lines++;
    unsent.value = [...unsent.value, { key, text, reason: '' }];
    try {
      await chat.send(text);
      forget(key);
    } catch (thrown) {
      const reason = describeError(KliegError.from(thrown));
      unsent.value = unsent.value.map((line) => line.key === key ? { ...line, reason } : line);
    }
  }

  /** Drops a refused line: it was put back into the field, or is given up. */
  function forget(key: number): void {
    unsent.value = unsent.value.filter((line) => line.key !== key);
  }

  return { chat, messages, unsent, lost, send, forget, react: (emoji: string) => chat.react(emoji) };
}
