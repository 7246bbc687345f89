/** The chat and the reactions of a room, as values. */

import { Chat, KliegError, describeError } from '@klieg/client';
import type { ChatMessage, Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';

/** Joins the chat of a room. */
export function useChat(room: Room) {
  const chat = new Chat(room);
  const messages = shallowRef<readonly ChatMessage[]>([]);
  const sending = ref(false);
  /** Why the last line was not sent, in words. */
  const problem = ref('');

  chat.on('messages', (value) => { messages.value = value; });
  onScopeDispose(() => chat.close());

  /** Resolves with whether the line is stored. */
  async function send(text: string): Promise<boolean> {
    sending.value = true;
    problem.value = '';
    try {
      await chat.send(text);
      return true;
    } catch (thrown) {
      problem.value = describeError(KliegError.from(thrown));
      return false;
    } finally {
      sending.value = false;
    }
  }

  return { chat, messages, sending, problem, send, react: (emoji: string) => chat.react(emoji) };
}
