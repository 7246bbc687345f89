import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Chat } from '../src/index.js';
import { merge } from '../src/chat.js';
import type { FakeSocket } from './fake-socket.js';
import { join, joinedRoom, line, openRoom, settle, snapshot } from './joined-room.js';

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
  await settle();
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
  await settle();
  socket.refuse('chat.send', 'rate_limited', { retryAfterMs: 30_000 });
  await expect(sent).rejects.toMatchObject({ code: 'rate_limited', retryAfterMs: 30_000 });
});

/** Answers each line as it comes, the fifth with a short wait; returns the lines taken. */
async function takeLines(socket: FakeSocket): Promise<string[]> {
  const taken: string[] = [];
  const seen = new Set<unknown>();
  for (let turn = 0; turn < 100; turn++) {
    await settle();
    const next = socket.sent.findLast(({ t }) => t === 'chat.send');
    if (next !== undefined && !seen.has(next)) {
      seen.add(next);
      if (seen.size === 5) socket.refuse('chat.send', 'rate_limited', { retryAfterMs: 200 });
      else {
        taken.push(String(next.d['text']));
        socket.ack('chat.send', { messageId: next.id, seq: 11 });
      }
    }
    await vi.advanceTimersByTimeAsync(50);
  }
  return taken;
}

test('lines written faster than the server takes them arrive once each, in order', async () => {
  const { room, socket } = await joinedRoom();
  const chat = new Chat(room);
  const lines = Array.from({ length: 12 }, (_, index) => `m${index}`);
  const sent = Promise.all(lines.map((text) => chat.send(text)));
  expect(await takeLines(socket)).toEqual(lines);
  await sent;
});

test('a refused line does not hold up the next', async () => {
  const { room, socket } = await joinedRoom();
  const chat = new Chat(room);
  const bad = chat.send('bad');
  const good = chat.send('good');
  const refused = expect(bad).rejects.toMatchObject({ code: 'text_too_long' });
  await settle();
  socket.refuse('chat.send', 'text_too_long');
  await settle();
  expect(socket.last('chat.send').d).toEqual({ text: 'good' });
  socket.ack('chat.send');
  await Promise.all([refused, good]);
});

test('lines do not wait without bound', async () => {
  const { room } = await joinedRoom();
  const chat = new Chat(room);
  for (let line = 0; line < 20; line++) chat.send('x').catch(() => {});
  await expect(chat.send('one more')).rejects.toMatchObject({ code: 'queue_full' });
});

test('a line written while the server is away is sent when it is back, however long that takes', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const chat = new Chat(room);
  socket.drop();
  const sent = chat.send('are you there?');
  for (let second = 0; second < 120; second++) {
    await vi.advanceTimersByTimeAsync(1_000);
    sockets.at(-1)!.drop();
  }
  const before = sockets.length;
  while (sockets.length === before) await vi.advanceTimersByTimeAsync(1_000);
  const back = sockets.at(-1)!;
  back.open();
  await settle();
  back.ack('auth');
  back.ack('resume', { seq: 10 });
  await settle();
  expect(back.last('chat.send').d).toEqual({ text: 'are you there?' });
  back.ack('chat.send');
  await sent;
});

test('a line that may have been stored for one person is not sent as another', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const chat = new Chat(room);
  const sent = chat.send('hello');
  const given = expect(sent).rejects.toMatchObject({ code: 'disconnected' });
  await settle();
  expect(socket.types()).toContain('chat.send');
  room.rejoin();
  sockets[1]!.open();
  await settle();
  sockets[1]!.ack('auth');
  sockets[1]!.receive({ t: 'joined', d: { ...snapshot(), you: { ...snapshot().you, id: 'other' } } });
  sockets[1]!.ack('join');
  room.releaseFormer();
  await vi.advanceTimersByTimeAsync(1_000);
  await given;
  expect(sockets[1]!.types()).not.toContain('chat.send');
});

test('reactions stay far below what closes a socket', async () => {
  const { room, socket } = await joinedRoom();
  const chat = new Chat(room);
  for (let press = 0; press < 50; press++) chat.react('❤');
  expect(socket.types().filter((t) => t === 'reaction.send')).toHaveLength(8);
  await vi.advanceTimersByTimeAsync(1000);
  expect(chat.react('❤')).toBe(true);
});
