/** The chat and the reactions of a room, as values. */

import { Chat, KliegError, describeError } from '@klieg/client';
import type { ChatMessage, Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';

/** What is over as soon as the connection is back. */
const CONNECTION_CODES = new Set(['offline', 'disconnected', 'timeout']);

/** Joins the chat of a room. */
export function useChat(room: Room) {
  const chat = new Chat(room);
  const messages = shallowRef<readonly ChatMessage[]>([]);
  const sending = ref(false);
  /** Why the last line was not sent, in words. */
  const problem = ref('');
  let problemCode = '';

  chat.on('messages', (value) => { messages.value = value; });
  const stops = [room.on('joined', forgetLoss), room.on('resumed', forgetLoss)];
  onScopeDispose(() => {
    for (const stop of stops) stop();
    chat.close();
  });

  function forgetLoss(): void {
    if (CONNECTION_CODES.has(problemCode)) problem.value = '';
  }

  /** Resolves with whether the line is stored. */
  async function send(text: string): Promise<boolean> {
    sending.value = true;
    problem.value = '';
    try {
      await chat.send(text);
      return true;
    } catch (thrown) {
      const error = KliegError.from(thrown);
      problemCode = error.code;
      problem.value = describeError(error);
      return false;
    } finally {
      sending.value = false;
    }
  }

  return { chat, messages, sending, problem, send, react: (emoji: string) => chat.react(emoji) };
}
