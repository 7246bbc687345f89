import { effectScope } from 'vue';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FakeSocket } from '../../client/test/fake-socket.js';
import { joinedRoom, settle } from '../../client/test/joined-room.js';
import { useChat } from './useChat.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a line written without a connection is shown as waiting until it is sent', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, unsent, lost } = scope.run(() => useChat(room))!;
  socket.drop();
  void send('hello');
  await vi.advanceTimersByTimeAsync(30_000);
  expect(lost.value).toBe(true);
  expect(unsent.value).toEqual([{ key: 0, text: 'hello', reason: '' }]);
  sockets.at(-1)!.drop();
  const before = sockets.length;
  while (sockets.length === before) await vi.advanceTimersByTimeAsync(1_000);
  await comeBack(sockets.at(-1)!);
  expect(lost.value).toBe(false);
  expect(unsent.value).toHaveLength(1);
  sockets.at(-1)!.ack('chat.send');
  await settle();
  expect(unsent.value).toEqual([]);
  scope.stop();
  room.close();
});

test('a refused line stays with its reason until it is taken back', async () => {
  const { room, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, unsent, forget } = scope.run(() => useChat(room))!;
  void send('x');
  void send('y');
  await settle();
  socket.refuse('chat.send', 'text_too_long');
  await settle();
  socket.ack('chat.send');
  await settle();
  expect(unsent.value).toEqual([{ key: 0, text: 'x', reason: 'That message is too long.' }]);
  forget(0);
  expect(unsent.value).toEqual([]);
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
