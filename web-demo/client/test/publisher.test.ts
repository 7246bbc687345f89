import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Publisher } from '../src/index.js';
import { FakePeer, camera, fakeWebRtc } from './fake-peer.js';
import type { FakeSocket } from './fake-socket.js';
import { join, joinedRoom, openRoom, settle, snapshot } from './joined-room.js';

beforeEach(() => {
  vi.useFakeTimers();
  fakeWebRtc();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function accept(socket: FakeSocket, sessionId: string): Promise<void> {
  socket.ack('rtc.offer', { sessionId });
  await settle();
  socket.receive({ t: 'rtc.answer', d: { sessionId, sdp: 'answer' } });
  await settle();
  FakePeer.last().become('connected');
}

async function livePublisher() {
  const { room, sockets, socket } = await joinedRoom();
  const publisher = new Publisher(room);
  socket.answersPings = true;
  publisher.publish(camera());
  await settle();
  await accept(socket, 's1');
  return { room, sockets, socket, publisher };
}

test('an offer goes out without waiting for candidates, and its answer makes it live', async () => {
  const { socket, publisher } = await livePublisher();
  expect(socket.last('rtc.offer').d).toEqual({ sdp: 'local' });
  expect(FakePeer.last().remote).toEqual([{ type: 'answer', sdp: 'answer' }]);
  expect(publisher.status).toEqual({ kind: 'live' });
});

test('publishing before the room is joined begins with the join', async () => {
  const { room, sockets } = openRoom();
  const publisher = new Publisher(room);
  publisher.publish(camera());
  await join(sockets[0]!);
  await accept(sockets[0]!, 's1');
  expect(publisher.status).toEqual({ kind: 'live' });
});

test('one who may not publish is refused at once', async () => {
  const { room, socket } = await joinedRoom();
  const publisher = new Publisher(room);
  publisher.publish(camera());
  await settle();
  socket.refuse('rtc.offer', 'forbidden');
  await settle();
  expect(publisher.status).toEqual({ kind: 'refused', code: 'forbidden' });
  expect(FakePeer.last().closed).toBe(true);
});

test('one whose place somebody else took stays away', async () => {
  const { socket, publisher } = await livePublisher();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'replaced' } });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(publisher.status).toEqual({ kind: 'refused', code: 'replaced' });
  expect(FakePeer.made).toHaveLength(1);
});

test('one whose place was taken may go live when it is free again', async () => {
  const { socket, publisher } = await livePublisher();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'replaced' } });
  socket.receive({ t: 'rtc.publisher', seq: 11, d: { ...snapshot().publisher } });
  await settle();
  expect(publisher.status).toEqual({ kind: 'refused', code: 'replaced' });
  socket.receive({ t: 'rtc.publisher', seq: 12, d: { ...snapshot().publisher, state: 'interrupted' } });
  await vi.advanceTimersByTimeAsync(1000);
  expect(publisher.status).toEqual({ kind: 'idle' });
});

test('one whose place is taken before the server has named its session stays away', async () => {
  const { room, socket } = await joinedRoom();
  const publisher = new Publisher(room);
  publisher.publish(camera());
  await settle();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'replaced' } });
  expect(publisher.status).toEqual({ kind: 'connecting' });
  socket.ack('rtc.offer', { sessionId: 's1' });
  await settle();
  expect(publisher.status).toEqual({ kind: 'refused', code: 'replaced' });
});

test('a path that fails is restarted, and replaced when that does not help', async () => {
  const { socket, publisher } = await livePublisher();
  FakePeer.last().become('failed');
  await settle();
  expect(socket.last('rtc.offer').d).toEqual({ sessionId: 's1', sdp: 'restart' });
  expect(publisher.status).toEqual({ kind: 'reconnecting' });
  await vi.advanceTimersByTimeAsync(8000);
  expect(FakePeer.made).toHaveLength(2);
  await accept(socket, 's2');
  expect(publisher.status).toEqual({ kind: 'live' });
  // The room is shown the first until the second has a picture, and nothing may end the event.
  expect(FakePeer.made[0]!).toMatchObject({ sending: true, closed: false });
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'replaced' } });
  expect(FakePeer.made[0]!.closed).toBe(true);
  expect(publisher.status).toEqual({ kind: 'live' });
  expect(socket.types()).not.toContain('rtc.close');
});

test('a session that the server says nothing of any more ends a while after the next is there', async () => {
  const { sockets, socket, publisher } = await livePublisher();
  socket.drop();
  expect(publisher.status).toEqual({ kind: 'reconnecting' });
  await vi.advanceTimersByTimeAsync(1000);
  await join2(sockets[1]!);
  await accept(sockets[1]!, 's2');
  expect(publisher.status).toEqual({ kind: 'live' });
  expect(FakePeer.made[0]!.closed).toBe(false);
  await vi.advanceTimersByTimeAsync(5000);
  expect(FakePeer.made.map(({ closed }) => closed)).toEqual([true, false]);
});

test('sessions that never connect cost the room nothing of the one before', async () => {
  const { room, socket, publisher } = await livePublisher();
  FakePeer.last().become('failed');
  await vi.advanceTimersByTimeAsync(8000);
  socket.ack('rtc.offer', { sessionId: 's2' });
  await settle();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's2', state: 'closed', reason: 'handshake_timeout' } });
  await vi.advanceTimersByTimeAsync(3000);
  expect(FakePeer.made).toHaveLength(3);
  expect(FakePeer.made.map(({ closed }) => closed)).toEqual([false, true, false]);
  // The next begins before the server has named this one.
  publisher.publish(camera());
  await settle();
  expect(FakePeer.made.map(({ closed }) => closed)).toEqual([false, true, true, false]);
  socket.ack('rtc.offer', { sessionId: 's3' });
  await settle();
  expect(socket.types()).not.toContain('rtc.close');
  room.close();
});

test('who stops while the next session begins ends both', async () => {
  const { socket, publisher } = await livePublisher();
  FakePeer.last().become('failed');
  await settle();
  await vi.advanceTimersByTimeAsync(8000);
  socket.ack('rtc.offer', { sessionId: 's2' });
  await settle();
  publisher.close();
  expect(FakePeer.made[0]!.closed).toBe(true);
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's2' });
  await vi.advanceTimersByTimeAsync(1000);
  expect(FakePeer.made[1]!.closed).toBe(true);
});

test('a path that heals by itself is left alone', async () => {
  const { socket } = await livePublisher();
  FakePeer.last().become('disconnected');
  await vi.advanceTimersByTimeAsync(2000);
  FakePeer.last().become('connected');
  await vi.advanceTimersByTimeAsync(20_000);
  expect(socket.types().filter((t) => t === 'rtc.offer')).toHaveLength(1);
});

test('a session that the server closed is begun anew, unless we are done', async () => {
  const { socket, publisher } = await livePublisher();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'consent_lost' } });
  await vi.advanceTimersByTimeAsync(600);
  await accept(socket, 's2');
  expect(publisher.status).toEqual({ kind: 'live' });
  publisher.close();
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's2' });
  socket.receive({ t: 'rtc.state', d: { sessionId: 's2', state: 'closed', reason: 'removed' } });
  await vi.advanceTimersByTimeAsync(20_000);
  expect(publisher.status).toEqual({ kind: 'idle' });
});

test('redundant sound is asked for where the browser has it, and only when it is wanted', async () => {
  const { room } = await joinedRoom();
  const codings = (...mimeTypes: string[]) => {
    const capabilities = { codecs: mimeTypes.map((mimeType) => ({ mimeType })) };
    vi.stubGlobal('RTCRtpSender', { getCapabilities: (kind: string) => kind === 'audio' ? capabilities : { codecs: [] } });
  };
  codings('audio/opus', 'audio/red', 'audio/G722');
  new Publisher(room).publish(camera());
  await settle();
  expect(FakePeer.last().preferences).toEqual([]);
  new Publisher(room, { redundantAudio: true }).publish(camera());
  await settle();
  expect(FakePeer.last().preferences).toEqual([['audio/red', 'audio/opus', 'audio/G722']]);
  codings('audio/opus');
  new Publisher(room, { redundantAudio: true }).publish(camera());
  await settle();
  expect(FakePeer.last().preferences).toEqual([]);
});

test('an answer that cannot be used is a refusal', async () => {
  const { room, socket } = await joinedRoom();
  const publisher = new Publisher(room);
  publisher.publish(camera());
  await settle();
  socket.ack('rtc.offer', { sessionId: 's1' });
  await settle();
  socket.receive({ t: 'rtc.answer', d: { sessionId: 's1', sdp: 'broken' } });
  await settle();
  expect(publisher.status).toEqual({ kind: 'refused', code: 'internal' });
});

test('what is muted stays muted in the next session', async () => {
  const { sockets, socket, publisher } = await livePublisher();
  publisher.mute('audio', true);
  expect(socket.last('rtc.mute').d).toEqual({ kind: 'audio', muted: true });
  socket.drop();
  await vi.advanceTimersByTimeAsync(1000);
  await join2(sockets[1]!);
  await accept(sockets[1]!, 's2');
  expect(sockets[1]!.last('rtc.mute').d).toEqual({ kind: 'audio', muted: true });
});

test('closing is silent at once, and ends the connection when the server has heard it', async () => {
  const { socket, publisher } = await livePublisher();
  publisher.close();
  expect(publisher.status).toEqual({ kind: 'idle' });
  expect(FakePeer.last()).toMatchObject({ sending: false, closed: false });
  await vi.advanceTimersByTimeAsync(100);
  expect(FakePeer.last().closed).toBe(false);
  socket.ack('rtc.close');
  await settle();
  expect(FakePeer.last().closed).toBe(true);
});

test('closing that the server does not answer ends the connection all the same', async () => {
  const { publisher } = await livePublisher();
  publisher.close();
  await vi.advanceTimersByTimeAsync(900);
  expect(FakePeer.last().closed).toBe(false);
  await vi.advanceTimersByTimeAsync(200);
  expect(FakePeer.last().closed).toBe(true);
});

test('closing before the server has named the session ends it as soon as it has', async () => {
  const { room, socket } = await joinedRoom();
  const publisher = new Publisher(room);
  publisher.publish(camera());
  await settle();
  publisher.close();
  expect(FakePeer.last().closed).toBe(true);
  socket.ack('rtc.offer', { sessionId: 's1' });
  await settle();
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's1' });
});

test('a publisher that is closed stays so, however often', async () => {
  const { socket, publisher } = await livePublisher();
  const statuses: string[] = [];
  publisher.on('status', ({ kind }) => statuses.push(kind));
  publisher.close();
  publisher.close();
  publisher.publish(camera());
  await vi.advanceTimersByTimeAsync(20_000);
  expect(statuses).toEqual(['idle']);
  expect(socket.types().filter((t) => t === 'rtc.close' || t === 'rtc.offer')).toEqual(['rtc.offer', 'rtc.close']);
});

test('a page that is left says so: nobody is to wait for its host', async () => {
  const { room, socket } = await livePublisher();
  room.close();
  expect(socket.types().at(-1)).toBe('leave');
  expect(FakePeer.last().closed).toBe(false);
  await vi.advanceTimersByTimeAsync(1000);
  expect(FakePeer.last().closed).toBe(true);
});

/** Lets a resumed socket in. */
async function join2(socket: FakeSocket): Promise<void> {
  socket.open();
  await settle();
  socket.ack('auth');
  socket.ack('resume', { seq: 10 });
  await settle();
}
