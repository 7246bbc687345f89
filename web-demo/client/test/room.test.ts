import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { join, joinedRoom, line, openRoom, settle, snapshot } from './joined-room.js';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

test('auth and join are sent at once, and what listeners of open add follows them', async () => {
  const { room, sockets } = openRoom();
  room.on('open', () => void room.request('rtc.subscribe', { layer: 'auto' }));
  sockets[0]!.open();
  await settle();
  expect(sockets[0]!.types()).toEqual(['auth', 'join', 'rtc.subscribe']);
});

test('the snapshot fills the room', async () => {
  const { room } = await joinedRoom();
  expect(room.connection).toBe('joined');
  expect(room.info?.title).toBe('Demo');
  expect(room.publisher?.state).toBe('live');
  expect(room.you?.name).toBe('Cy');
});

test('a lost room resumes after the last event it saw, and hears no event twice', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const heard: string[] = [];
  room.on('message', ({ text }) => heard.push(text));
  socket.receive({ t: 'chat.message', seq: 11, d: line(11, 'one') });
  socket.drop();
  expect(room.connection).toBe('reconnecting');
  await vi.advanceTimersByTimeAsync(1000);
  sockets[1]!.open();
  await settle();
  expect(sockets[1]!.last('resume').d).toEqual({ roomId: 'demo', lastSeq: 11 });
  sockets[1]!.ack('auth');
  sockets[1]!.receive({ t: 'chat.message', seq: 11, d: line(11, 'one') });
  sockets[1]!.receive({ t: 'chat.message', seq: 12, d: line(12, 'two') });
  sockets[1]!.ack('resume', { seq: 12 });
  await settle();
  expect(heard).toEqual(['one', 'two']);
  expect(room.connection).toBe('joined');
  sockets[1]!.ack('stats', { viewerCount: 7, likes: 0, peak: 9 });
  await settle();
  expect(room.stats?.viewerCount).toBe(7);
});

test('a server that forgot the room answers resume with a snapshot', async () => {
  const { room, sockets, socket } = await joinedRoom();
  socket.drop();
  await vi.advanceTimersByTimeAsync(1000);
  sockets[1]!.open();
  await settle();
  sockets[1]!.ack('auth');
  sockets[1]!.receive({ t: 'joined', d: snapshot(2) });
  sockets[1]!.ack('resume');
  const heard: number[] = [];
  room.on('message', ({ seq }) => heard.push(seq));
  sockets[1]!.receive({ t: 'chat.message', seq: 3, d: line(3, 'again') });
  await settle();
  expect(heard).toEqual([3]);
});

test('losses in a row wait longer and longer', async () => {
  const { room, sockets } = openRoom();
  const waits: number[] = [];
  for (let round = 0; round < 5; round++) {
    const before = Date.now();
    sockets[round]!.drop();
    while (sockets.length === round + 1) await vi.advanceTimersByTimeAsync(50);
    waits.push(Date.now() - before);
  }
  expect(waits[4]).toBeGreaterThan(waits[0]! * 4);
  room.close();
});

test('a refused token is asked for anew once', async () => {
  const asked: boolean[] = [];
  const { room, sockets } = openRoom(async (renew) => { asked.push(renew); return 'token'; });
  sockets[0]!.open();
  await settle();
  sockets[0]!.refuse('auth', 'token_expired');
  await vi.advanceTimersByTimeAsync(1000);
  sockets[1]!.open();
  await settle();
  sockets[1]!.refuse('auth', 'token_expired');
  await settle();
  expect(asked).toEqual([false, true]);
  expect(room.connection).toBe('closed');
});

test('a room that does not exist is not asked for again', async () => {
  const { room, sockets } = openRoom();
  const errors: (string | undefined)[] = [];
  room.on('connection', ({ error }) => errors.push(error?.code));
  sockets[0]!.open();
  await settle();
  sockets[0]!.ack('auth');
  sockets[0]!.refuse('join', 'not_found');
  await vi.advanceTimersByTimeAsync(60_000);
  expect(errors).toEqual(['not_found']);
  expect(sockets).toHaveLength(1);
});

test('a path that went silent is noticed by the missing pong', async () => {
  const { room, socket } = await joinedRoom();
  await vi.advanceTimersByTimeAsync(15_000);
  expect(socket.types()).toContain('ping');
  await vi.advanceTimersByTimeAsync(10_000);
  expect(room.connection).toBe('reconnecting');
});

test('a server that drains is given the time it asked for', async () => {
  const { sockets, socket } = await joinedRoom();
  socket.receive({ t: 'server.draining', d: { reconnectAfterMs: 5000 } });
  socket.drop(1001);
  await vi.advanceTimersByTimeAsync(4900);
  expect(sockets).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1000);
  expect(sockets).toHaveLength(2);
});

test('joining again as someone else asks for a snapshot', async () => {
  const { room, sockets } = await joinedRoom();
  room.rejoin();
  await join(sockets[1]!);
  expect(sockets[1]!.types()).toEqual(['auth', 'join']);
  expect(room.connection).toBe('joined');
});

test('the connection before is kept for its media until it is released, and is not heard', async () => {
  const { room, sockets, socket } = await joinedRoom();
  const heard: string[] = [];
  room.on('message', ({ text }) => heard.push(text));
  room.rejoin();
  expect(room.connection).toBe('rejoining');
  await join(sockets[1]!);
  socket.receive({ t: 'chat.message', seq: 99, d: line(99, 'old') });
  expect(socket.readyState).toBe(socket.OPEN);
  room.releaseFormer();
  expect(socket.readyState).toBe(socket.CLOSED);
  expect(heard).toEqual([]);
  expect(room.connection).toBe('joined');
});

test('the connection before is not kept for long', async () => {
  const { room, sockets, socket } = await joinedRoom();
  room.rejoin();
  await join(sockets[1]!);
  await vi.advanceTimersByTimeAsync(5000);
  expect(socket.readyState).toBe(socket.CLOSED);
  expect(room.connection).toBe('joined');
  room.rejoin();
  room.close();
  expect(sockets.map(({ readyState }) => readyState)).toEqual([3, 3, 3]);
});

test('frames that are no envelope, and types from the future, change nothing', async () => {
  const { room, socket } = await joinedRoom();
  for (const frame of ['', 'x', 'null', '[]', '{}', '{"t":1}', '{"t":"new.thing","d":{"a":1}}', '{"t":"ack","d":{"re":"nobody"}}']) {
    socket.receive(frame);
  }
  expect(room.connection).toBe('joined');
});

test('after close nothing is heard and nothing comes back', async () => {
  const { room, sockets, socket } = await joinedRoom();
  room.close();
  const heard: unknown[] = [];
  room.on('message', (message) => heard.push(message));
  socket.receive({ t: 'chat.message', seq: 11, d: line(11, 'late') });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(heard).toEqual([]);
  expect(sockets).toHaveLength(1);
  await expect(room.request('ping', {})).rejects.toThrow('disconnected');
});

test('a token that the server sent is what a lost room comes back with, and the source is asked once that is refused', async () => {
  const asked: boolean[] = [];
  const { room, sockets } = openRoom(async (renew) => { asked.push(renew); return 'from the source'; });
  await join(sockets[0]!);
  const expiresAt = new Date(Date.now() + 600_000).toISOString();
  sockets[0]!.receive({ t: 'token.refresh', d: { token: 'sent', expiresAt } });
  sockets[0]!.drop();
  await vi.advanceTimersByTimeAsync(1000);
  sockets[1]!.open();
  await settle();
  expect(sockets[1]!.last('auth').d).toEqual({ token: 'sent' });
  sockets[1]!.refuse('auth', 'token_invalid');
  await settle();
  await vi.advanceTimersByTimeAsync(5000);
  sockets[2]!.open();
  await settle();
  expect(sockets[2]!.last('auth').d).toEqual({ token: 'from the source' });
  expect(asked).toEqual([false, false]);
  room.close();
});

test('a token that the server sent is not used once it has ended, nor by somebody else', async () => {
  const { room, sockets } = openRoom(async () => 'from the source');
  await join(sockets[0]!);
  const sent = (endsInMs: number) => ({ t: 'token.refresh', d: { token: 'sent', expiresAt: new Date(Date.now() + endsInMs).toISOString() } });
  sockets[0]!.receive(sent(600_000));
  room.rejoin();
  sockets[1]!.open();
  await settle();
  expect(sockets[1]!.last('auth').d).toEqual({ token: 'from the source' });
  await join(sockets[1]!);
  sockets[1]!.receive(sent(1_000));
  sockets[1]!.drop();
  await vi.advanceTimersByTimeAsync(3000);
  sockets[2]!.open();
  await settle();
  expect(sockets[2]!.last('auth').d).toEqual({ token: 'from the source' });
  room.close();
});

test('what an event came to stays until the next is on air', async () => {
  const { room, socket } = await joinedRoom();
  const summary = { durationSec: 60, peakViewers: 3, totalViewers: 4, watchTimeSec: 120, likes: 0, messages: 1, orders: 0, revenue: {} };
  const change = (seq: number, d: object) => socket.receive({ t: 'room.status', seq, d });
  change(11, { status: 'ended', endedAt: '2026-11-22T10:00:00Z', summary });
  change(12, { status: 'ready' });
  expect([room.ended, room.info?.summary, room.info?.endedAt]).toEqual([true, summary, '2026-11-22T10:00:00Z']);
  change(13, { status: 'live', startedAt: '2026-11-22T11:00:00Z' });
  expect([room.ended, room.info?.summary, room.info?.endedAt]).toEqual([false, undefined, undefined]);
  room.close();
});

test('a show that was over before is no show that has not begun', async () => {
  const { room, sockets } = openRoom();
  sockets[0]!.open();
  await settle();
  sockets[0]!.ack('auth');
  const before = snapshot();
  sockets[0]!.receive({ t: 'joined', d: { ...before, room: { ...before.room, status: 'ended' }, publisher: { ...before.publisher, state: 'none' } } });
  expect(room.ended).toBe(true);
  room.close();
});

test('who comes when a room waits again is told how its last show ended', async () => {
  const { room, sockets } = openRoom();
  sockets[0]!.open();
  await settle();
  sockets[0]!.ack('auth');
  const before = snapshot();
  const summary = { durationSec: 60, peakViewers: 3, totalViewers: 4, watchTimeSec: 120, likes: 0, messages: 1, orders: 0, revenue: {} };
  sockets[0]!.receive({ t: 'joined', d: { ...before, room: { ...before.room, status: 'ready', endedAt: '2026-11-22T10:00:00Z', summary }, publisher: { ...before.publisher, state: 'none' } } });
  expect([room.ended, room.info?.summary]).toEqual([true, summary]);
  sockets[0]!.receive({ t: 'room.status', seq: 11, d: { status: 'live', startedAt: '2026-11-22T11:00:00Z' } });
  expect([room.ended, room.info?.summary]).toEqual([false, undefined]);
  room.close();
});

test('what the owner writes anew is told, and what the last event came to is kept', async () => {
  const { room, socket } = await joinedRoom();
  const summary = { durationSec: 60, peakViewers: 3, totalViewers: 4, watchTimeSec: 120, likes: 0, messages: 1, orders: 0, revenue: {} };
  socket.receive({ t: 'room.status', seq: 11, d: { status: 'ended', summary } });
  socket.receive({ t: 'room.updated', seq: 12, d: { room: { ...snapshot().room, status: 'ready', title: 'Another', scheduledAt: '2026-11-23T10:00:00Z' } } });
  expect(room.info).toMatchObject({ title: 'Another', scheduledAt: '2026-11-23T10:00:00Z', summary });
  room.close();
});
