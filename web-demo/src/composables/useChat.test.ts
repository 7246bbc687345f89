import { effectScope } from 'vue';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { FakeSocket } from '../../client/test/fake-socket.js';
import { join, joinedRoom, line, openRoom, settle } from '../../client/test/joined-room.js';
import { useChat } from './useChat.js';

const older = () => Promise.resolve({ items: [line(3, 'long ago')], nextCursor: null });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('a line written without a connection is shown as waiting until it is sent', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, unsent, lost } = scope.run(() => useChat(room, older))!;
  socket.drop();
  void send('hello');
  await vi.advanceTimersByTimeAsync(30_000);
  expect(lost.value).toBe(true);
  expect(unsent.value).toEqual([{ key: 0, text: 'hello', options: {}, reason: '' }]);
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
  const { send, unsent, forget } = scope.run(() => useChat(room, older))!;
  void send('x');
  void send('y');
  await settle();
  socket.refuse('chat.send', 'text_too_long');
  await settle();
  socket.ack('chat.send');
  await settle();
  expect(unsent.value).toEqual([{ key: 0, text: 'x', options: {}, reason: 'That message is too long.' }]);
  forget(0);
  expect(unsent.value).toEqual([]);
  scope.stop();
  room.close();
});

test('an announcement is shown for ten seconds, unless it is taken away or nobody was here when it was made', async () => {
  const { room, socket } = await joinedRoom();
  const scope = effectScope();
  const { announced, messages } = scope.run(() => useChat(room, older))!;
  const announce = (seq: number, more = {}) => socket.receive({ t: 'chat.message', seq, d: { ...line(seq, 'We begin!'), kind: 'system', ...more } });
  announce(11);
  await vi.advanceTimersByTimeAsync(9_999);
  expect(announced.value?.text).toBe('We begin!');
  await vi.advanceTimersByTimeAsync(1);
  expect(announced.value).toBeUndefined();
  announce(12);
  socket.receive({ t: 'chat.deleted', seq: 13, d: { messageId: 'm12', seq: 12 } });
  expect(announced.value).toBeUndefined();
  socket.receive({ t: 'chat.message', seq: 14, d: line(14, 'hello') });
  expect(announced.value).toBeUndefined();
  void room.request('ping', {});
  socket.receive({ t: 'ack', ts: 31_000, d: { re: socket.last('ping').id } });
  announce(15);
  expect(announced.value).toBeUndefined();
  expect(messages.value.at(-1)?.text).toBe('We begin!');
  scope.stop();
  room.close();
});

test('what a moderator takes away goes from the list, the pinned line and what is read again', async () => {
  const { room, socket } = await joinedRoom();
  const scope = effectScope();
  const { messages, pinned, settings } = scope.run(() => useChat(room, older))!;
  const said = { ...line(11, 'a secret'), mentions: [{ id: 'u', name: 'Una' }] };
  socket.receive([{ t: 'chat.message', seq: 11, d: said }, { t: 'chat.pinned', seq: 12, d: { message: said } }]);
  expect(pinned.value?.text).toBe('a secret');
  socket.receive({ t: 'chat.settings', seq: 13, d: { slowModeSec: 30, audience: 'everyone', links: 'allow', guests: true } });
  expect(settings.value?.slowModeSec).toBe(30);
  socket.receive({ t: 'chat.deleted', seq: 14, d: { messageId: said.messageId, seq: 11 } });
  expect(pinned.value).toBeNull();
  expect(messages.value.at(-1)).toEqual({ ...line(11, ''), deleted: true });
  scope.stop();
  room.close();
});

test('older lines are shown before those that are here', async () => {
  const { room, sockets } = openRoom();
  const scope = effectScope();
  const { messages, more, earlier } = scope.run(() => useChat(room, older))!;
  const latest = Array.from({ length: 100 }, (_, index) => line(10 + index, `line ${index}`));
  await join(sockets[0]!, 109, latest);
  expect(more.value).toBe(true);
  await earlier();
  expect(messages.value.slice(0, 2).map(({ text }) => text)).toEqual(['long ago', 'line 0']);
  expect(more.value).toBe(false);
  scope.stop();
  room.close();
});

test('where all that was said has come, nobody is offered older lines', async () => {
  const { room, sockets } = openRoom();
  const scope = effectScope();
  const { more } = scope.run(() => useChat(room, older))!;
  await join(sockets[0]!);
  expect(more.value).toBe(false);
  scope.stop();
  room.close();
});

test('one who has to wait is told until when', async () => {
  const { room, socket } = await joinedRoom();
  const scope = effectScope();
  const { send, unsent, held } = scope.run(() => useChat(room, older))!;
  void send('x', { replyTo: 'm1' });
  await settle();
  expect(socket.last('chat.send').d).toEqual({ text: 'x', replyTo: 'm1' });
  socket.refuse('chat.send', 'slow_mode', { retryAfterMs: 30_000 });
  await settle();
  expect(unsent.value[0]?.again).toBe(Date.now() + 30_000);
  void send('see shop.vn');
  await settle();
  socket.ack('chat.send', { held: true });
  await settle();
  expect(held.value).toBe(true);
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
