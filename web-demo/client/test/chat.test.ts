import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Chat } from '../src/index.js';
import { merge } from '../src/chat.js';
import { join, joinedRoom, line, openRoom, settle } from './joined-room.js';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

test('history and new lines are one list, each line once', async () => {
  const { room, sockets } = openRoom();
  const chat = new Chat(room);
  await join(sockets[0]!);
  sockets[0]!.receive({ t: 'chat.message', seq: 11, d: line(11, 'new') });
  expect(chat.messages.map(({ text }) => text)).toEqual(['before', 'new']);
  expect(merge(chat.messages, [line(11, 'new')])).toBe(chat.messages);
});

test('lines are kept in the order of the room, and not without end', () => {
  const many = Array.from({ length: 400 }, (_, index) => line(index + 2, 'x'));
  const kept = merge(many, [line(1, 'late')]);
  expect(kept).toHaveLength(300);
  expect(kept.at(-1)?.seq).toBe(401);
});

test('a line cut off by a loss is sent again under the same id', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const chat = new Chat(room);
  const sent = chat.send('hello');
  const first = socket.last('chat.send');
  socket.drop();
  await vi.advanceTimersByTimeAsync(600);
  sockets[1]!.open();
  await settle();
  sockets[1]!.ack('auth');
  sockets[1]!.ack('resume', { seq: 10 });
  await vi.advanceTimersByTimeAsync(2000);
  expect(sockets[1]!.last('chat.send')).toEqual(first);
  sockets[1]!.ack('chat.send', { messageId: 'm', seq: 11 });
  await sent;
});

test('a refused line fails with the reason', async () => {
  const { room, socket } = await joinedRoom();
  const sent = new Chat(room).send('hello');
  socket.refuse('chat.send', 'rate_limited', { retryAfterMs: 420 });
  await expect(sent).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs: 420 });
});

test('reactions stay far below what closes a socket', async () => {
  const { room, socket } = await joinedRoom();
  const chat = new Chat(room);
  for (let press = 0; press < 50; press++) chat.react('❤');
  expect(socket.types().filter((t) => t === 'reaction.send')).toHaveLength(8);
  await vi.advanceTimersByTimeAsync(1000);
  expect(chat.react('❤')).toBe(true);
});
