import { effectScope } from 'vue';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FakeSocket } from '../../client/test/fake-socket.js';
import { joinedRoom, settle } from '../../client/test/joined-room.js';
import { useChat } from './useChat.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('the word about a lost connection goes when it is back', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, problem } = scope.run(() => useChat(room))!;
  socket.drop();
  const sent = send('hello');
  // Each attempt to return fails for as long as the line is tried.
  for (let attempt = 0; attempt < 20 && problem.value === ''; attempt++) {
    await vi.advanceTimersByTimeAsync(1_000);
    sockets.at(-1)!.drop();
  }
  expect(await sent).toBe(false);
  expect(problem.value).toBe('The connection was lost. Try again in a moment.');
  const before = sockets.length;
  while (sockets.length === before) await vi.advanceTimersByTimeAsync(1_000);
  await comeBack(sockets.at(-1)!);
  expect(problem.value).toBe('');
  scope.stop();
  room.close();
});

test('the word about a bad line stays over a loss', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, problem } = scope.run(() => useChat(room))!;
  const sent = send('x');
  socket.refuse('chat.send', 'text_too_long');
  expect(await sent).toBe(false);
  socket.drop();
  await vi.advanceTimersByTimeAsync(1_000);
  await comeBack(sockets.at(-1)!);
  expect(problem.value).toBe('That message is too long.');
  scope.stop();
  room.close();
});

async function comeBack(socket: FakeSocket): Promise<void> {
  socket.open();
  await settle();
  socket.ack('auth');
  socket.ack('resume', { seq: 10 });
  await settle();
}
