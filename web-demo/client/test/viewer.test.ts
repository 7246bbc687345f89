import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { localNow } from '../src/clock.js';
import { Viewer } from '../src/index.js';
import type { KliegError, Product } from '../src/index.js';
import { FakePeer, fakeWebRtc } from './fake-peer.js';
import type { FakeSocket } from './fake-socket.js';
import { join, line, openRoom, settle, snapshot } from './joined-room.js';

beforeEach(() => {
  vi.useFakeTimers();
  fakeWebRtc();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function offer(socket: FakeSocket, sessionId: string, sdp = 'offer'): Promise<void> {
  socket.ack('rtc.subscribe', { sessionId });
  socket.receive({ t: 'rtc.offer', d: { sessionId, sdp } });
  await settle();
}

/** Lets a socket go on where the one before was lost. */
async function resume(socket: FakeSocket): Promise<void> {
  socket.answersPings = true;
  socket.open();
  await settle();
  socket.ack('auth');
  socket.ack('resume', { seq: 10 });
  await settle();
}

/** Shows as many frames a second as a camera, for so long. */
async function play(ms: number, peer = FakePeer.last()): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    peer.frames += 3;
    await vi.advanceTimersByTimeAsync(100);
  }
}

async function playingViewer() {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  const streams: MediaStream[] = [];
  viewer.on('stream', (stream) => streams.push(stream));
  const socket = sockets[0]!;
  socket.answersPings = true;
  socket.open();
  await settle();
  expect(socket.types()).toEqual(['auth', 'join', 'rtc.subscribe']);
  socket.ack('auth');
  socket.receive({ t: 'joined', d: snapshot() });
  socket.ack('join');
  await offer(socket, 's1');
  await play(500);
  return { room, sockets, socket, viewer, streams };
}

test('the subscription travels with the join, and its offer is answered at once', async () => {
  const { socket, viewer, streams } = await playingViewer();
  expect(socket.last('rtc.answer').d).toEqual({ sessionId: 's1', sdp: 'local' });
  expect(viewer.status).toEqual({ kind: 'playing' });
  expect(streams).toHaveLength(1);
});

test('a picture whose packets come late because they come twice waits for them', async () => {
  const { viewer } = await playingViewer();
  const [peer] = FakePeer.made;
  await play(5000);
  expect(peer!.receivers[0]!.jitterBufferTarget).toBeNull();
  peer!.repaired = peer!.frames;
  await play(2000);
  expect(peer!.receivers[0]!.jitterBufferTarget).toBe(360);
  viewer.close();
});

test('an interrupted publisher changes the words and nothing else', async () => {
  const { socket, viewer } = await playingViewer();
  socket.receive({ t: 'rtc.publisher', seq: 11, d: { ...snapshot().publisher, state: 'interrupted' } });
  await vi.advanceTimersByTimeAsync(25_000);
  expect(viewer.status).toEqual({ kind: 'interrupted' });
  socket.receive({ t: 'rtc.publisher', seq: 12, d: snapshot().publisher });
  await play(1500);
  expect(viewer.status).toEqual({ kind: 'playing' });
  expect(FakePeer.made).toHaveLength(1);
  expect(socket.types()).not.toContain('rtc.restart');
});

test('a picture that the host does not send is waited for, and the connection stays', async () => {
  const { socket, viewer } = await playingViewer();
  const layers = (active: boolean) => socket.receive({
    t: 'rtc.layers', d: { available: [{ layer: 'full', active, width: 640, height: 360, bitrate: 0 }], selected: 'full', reason: 'auto' },
  });
  layers(true);
  await vi.advanceTimersByTimeAsync(2_500);
  expect(viewer.status).toEqual({ kind: 'stalled' });
  layers(false);
  expect(viewer.status).toEqual({ kind: 'unsent' });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(viewer.status).toEqual({ kind: 'unsent' });
  expect(FakePeer.made).toHaveLength(1);
  expect(socket.types()).not.toContain('rtc.restart');
  // The picture is there before the word of it.
  await play(1500);
  expect(viewer.status).toEqual({ kind: 'playing' });
  layers(true);
  await play(1500);
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('a picture that stands still gets a keyframe, is restarted, then renewed; the old one stays until the new one moves', async () => {
  const { socket, viewer, streams } = await playingViewer();
  const [first] = FakePeer.made;
  await vi.advanceTimersByTimeAsync(2600);
  expect(socket.last('rtc.keyframe').d).toEqual({ sessionId: 's1' });
  expect(socket.types()).not.toContain('rtc.restart');
  await vi.advanceTimersByTimeAsync(2400);
  expect(socket.last('rtc.restart').d).toEqual({ sessionId: 's1' });
  expect(viewer.status).toEqual({ kind: 'stalled' });
  expect(socket.types()).not.toContain('rtc.report');
  await vi.advanceTimersByTimeAsync(5000);
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's1' });
  // A freeze that ends with its session is told before that does: nothing is heard of it afterwards.
  const types = socket.types();
  expect(types.indexOf('rtc.report')).toBeLessThan(types.indexOf('rtc.close'));
  const { sessionId, stalls, stalledMs } = socket.last('rtc.report').d as Record<string, unknown>;
  expect({ sessionId, stalls }).toEqual({ sessionId: 's1', stalls: 1 });
  expect(stalledMs).toBeGreaterThan(7000);
  await offer(socket, 's2');
  await vi.advanceTimersByTimeAsync(300);
  expect(streams).toHaveLength(1);
  expect(first!.closed).toBe(false);
  await play(1500);
  expect(streams).toHaveLength(2);
  expect(first!.closed).toBe(true);
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('joining as somebody else, the picture goes on until its successor has one', async () => {
  const { room, sockets, socket, viewer, streams } = await playingViewer();
  const [first] = FakePeer.made;
  const told: string[] = [];
  viewer.on('status', ({ kind }) => told.push(kind));
  room.rejoin();
  await join(sockets[1]!);
  await offer(sockets[1]!, 's2');
  await play(700, first);
  expect([first!.closed, socket.readyState]).toEqual([false, socket.OPEN]);
  await Promise.all([play(200), play(200, first)]);
  expect(streams, 'a first frame is no reason to hurry').toHaveLength(1);
  await play(500);
  expect(streams).toHaveLength(2);
  expect([first!.closed, socket.readyState]).toEqual([true, socket.CLOSED]);
  expect(told).toEqual([]);
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('a new session is shown without a picture where none is to come', async () => {
  const { sockets, socket, streams } = await playingViewer();
  socket.receive({ t: 'rtc.publisher', seq: 11, d: { ...snapshot().publisher, video: false } });
  socket.drop();
  await vi.advanceTimersByTimeAsync(1000);
  sockets[1]!.open();
  await settle();
  sockets[1]!.ack('auth');
  sockets[1]!.ack('resume', { seq: 11 });
  await offer(sockets[1]!, 's2');
  expect(streams).toHaveLength(1);
  FakePeer.last().become('connected');
  await vi.advanceTimersByTimeAsync(200);
  expect(streams).toHaveLength(2);
});

test('the last picture of a host who sends none stays where the socket was lost meanwhile', async () => {
  const { sockets, socket, viewer, streams } = await playingViewer();
  socket.receive({
    t: 'rtc.layers', d: { available: [{ layer: 'full', active: false, width: 640, height: 360, bitrate: 0 }], selected: 'full', reason: 'auto' },
  });
  socket.drop();
  await vi.advanceTimersByTimeAsync(2000);
  sockets[1]!.open();
  await settle();
  sockets[1]!.ack('auth');
  sockets[1]!.ack('resume', { seq: 10 });
  await offer(sockets[1]!, 's2');
  FakePeer.last().become('connected');
  await vi.advanceTimersByTimeAsync(5000);
  expect(viewer.status).toEqual({ kind: 'unsent' });
  expect(streams).toHaveLength(1);
  expect(FakePeer.made[0]!.closed).toBe(false);
  await play(1000);
  expect(streams).toHaveLength(2);
});

test('an ICE restart keeps the peer connection', async () => {
  const { socket } = await playingViewer();
  FakePeer.last().become('failed');
  socket.ack('rtc.restart');
  socket.receive({ t: 'rtc.offer', d: { sessionId: 's1', sdp: 'restart' } });
  await settle();
  expect(FakePeer.made).toHaveLength(1);
  expect(FakePeer.last().remote.at(-1)?.sdp).toBe('restart');
});

test('an offer for a session that was given up is not answered', async () => {
  const { socket } = await playingViewer();
  socket.receive({ t: 'rtc.offer', d: { sessionId: 'stranger', sdp: 'offer' } });
  await settle();
  expect(FakePeer.made).toHaveLength(1);
});

test('a session that the server closed is asked for anew', async () => {
  const { socket } = await playingViewer();
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'consent_lost' } });
  await vi.advanceTimersByTimeAsync(600);
  expect(socket.types().filter((t) => t === 'rtc.subscribe')).toHaveLength(2);
});

test('an offer that cannot be used is followed by another try', async () => {
  const { socket } = await playingViewer();
  socket.receive({ t: 'rtc.offer', d: { sessionId: 's1', sdp: 'broken' } });
  await vi.advanceTimersByTimeAsync(600);
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's1' });
});

test('a codec that cannot be played is named and not waited for', async () => {
  const { socket, viewer } = await playingViewer();
  socket.receive({ t: 'rtc.layers', d: { available: [], selected: null, reason: 'codec_mismatch', codec: 'h264' } });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(viewer.status).toEqual({ kind: 'unplayable', codec: 'h264' });
  expect(socket.types()).not.toContain('rtc.restart');
});

test('close gives the session back and stops every timer', async () => {
  const { room, socket, viewer } = await playingViewer();
  viewer.close();
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's1' });
  expect(FakePeer.last().closed).toBe(true);
  room.close();
  expect(vi.getTimerCount()).toBe(0);
});

test('a show that the host ended is told apart from one that has not begun', async () => {
  const { socket, viewer } = await playingViewer();
  const over = { ...snapshot().publisher, state: 'none' };
  socket.receive({ t: 'room.status', seq: 11, d: { status: 'ready' } });
  socket.receive({ t: 'rtc.publisher', seq: 12, d: over });
  expect(viewer.status).toEqual({ kind: 'ended' });
  socket.receive({ t: 'room.status', seq: 13, d: { status: 'live', startedAt: '2026-11-21T04:40:00Z' } });
  socket.receive({ t: 'rtc.publisher', seq: 14, d: snapshot().publisher });
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('what was received is told every fifteen seconds while there is something to tell', async () => {
  const { socket, viewer } = await playingViewer();
  const told = () => socket.types().filter((t) => t === 'rtc.report').length;
  await play(20_000);
  expect(told()).toBeGreaterThan(0);
  const { sessionId, framesDecoded, stalls, stalledMs, firstFrameMs } = socket.last('rtc.report').d as Record<string, unknown>;
  expect({ sessionId, stalls, stalledMs }).toEqual({ sessionId: 's1', stalls: 0, stalledMs: 0 });
  expect(framesDecoded).toBeGreaterThan(0);
  expect(firstFrameMs).toBeGreaterThanOrEqual(0);
  const before = told();
  await play(30_000);
  expect(told() - before).toBe(2);
  expect(socket.last('rtc.report').d, 'told once').not.toHaveProperty('firstFrameMs');
  socket.receive({ t: 'rtc.publisher', seq: 11, d: { ...snapshot().publisher, state: 'interrupted' } });
  const last = told();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told()).toBe(last);
  viewer.close();
});

/** A viewer who is shown a second late what the host does; the server's clock is that of the page. */
async function lateViewer() {
  const { room, socket, viewer } = await playingViewer();
  const peer = FakePeer.last();
  peer.shownAt = () => localNow() - 1000;
  const told: string[] = [];
  room.on('products', ({ featuredId }) => told.push(`products ${featuredId}`));
  room.on('poll', ({ pollId }) => told.push(`poll ${pollId}`));
  room.on('order', ({ productName }) => told.push(`order ${productName}`));
  room.on('message', ({ text }) => told.push(text));
  void room.request('ping', {});
  socket.receive({ t: 'ack', ts: localNow(), d: { re: socket.last('ping').id } });
  await play(1000);
  const capturedAt = localNow();
  return { room, socket, viewer, peer, told, capturedAt };
}

const tea: Product = { id: 'p', name: 'Tea', price: 450, discountPercent: 0, currency: 'EUR', sold: 0 };

test('what the host shows, asks and says is told when its frame is shown, and the chat goes on meanwhile', async () => {
  const { socket, viewer, told, capturedAt } = await lateViewer();
  socket.receive({ t: 'products', d: { list: [tea], featuredId: 'p', capturedAt } });
  socket.receive({ t: 'product', d: { ...tea, sold: 1 } });
  socket.receive({ t: 'poll', d: { pollId: 'q', question: '?', options: [], open: true, openedAt: 0, capturedAt } });
  socket.receive({ t: 'chat.message', seq: 11, d: { ...line(11, 'announced'), kind: 'system', capturedAt } });
  socket.receive({ t: 'order', d: { messageId: 'm', displayName: 'Bob', productName: 'Tea', capturedAt } });
  socket.receive({ t: 'chat.message', seq: 12, d: line(12, 'hello') });
  await play(900);
  expect(told).toEqual(['hello']);
  await play(200);
  expect(told).toEqual(['hello', 'products p', 'products p', 'poll q', 'announced', 'order Tea']);
  viewer.close();
});

test('a picture whose age the browser does not tell is as old as it was on its way and waited', async () => {
  const { socket, viewer, peer, told, capturedAt } = await lateViewer();
  peer.shownAt = undefined;
  peer.waitMs = 2000;
  await play(2000);
  expect((await viewer.stats())!.latencyMs).toBeCloseTo(2050, -1);
  socket.receive({ t: 'products', d: { list: [tea], featuredId: 'p', capturedAt: capturedAt + 2000 } });
  await play(1900);
  expect(told).toEqual([]);
  await play(400);
  expect(told).toEqual(['products p']);
  viewer.close();
});

test('without a picture nothing waits', async () => {
  const { socket, viewer, told } = await lateViewer();
  await vi.advanceTimersByTimeAsync(2000);
  socket.receive({ t: 'products', d: { list: [tea], featuredId: 'p', capturedAt: localNow() } });
  expect(told).toEqual(['products p']);
  viewer.close();
  socket.receive({ t: 'products', d: { list: [tea], featuredId: null, capturedAt: localNow() } });
  expect(told).toEqual(['products p', 'products null']);
});

test('an announcement that is taken away before its frame is never told, and a snapshot makes up for what waits', async () => {
  const { room, socket, viewer, told, capturedAt } = await lateViewer();
  const announced = (seq: number) => ({ t: 'chat.message', seq, d: { ...line(seq, `${seq}`), kind: 'system', capturedAt } });
  socket.receive(announced(11));
  socket.receive(announced(12));
  socket.receive({ t: 'chat.deleted', seq: 13, d: { messageId: 'm11', seq: 11 } });
  await play(1100);
  expect(told).toEqual(['12']);
  socket.receive({ t: 'products', d: { list: [tea], featuredId: 'p', capturedAt: localNow() } });
  socket.receive({ t: 'joined', d: { ...snapshot(), products: { list: [], featuredId: null } } });
  await play(1500);
  expect(told).toEqual(['12', 'products null']);
  viewer.close();
  room.close();
  expect(vi.getTimerCount()).toBe(0);
});

test('a chosen layer is asked for at once, and by each session that follows', async () => {
  const { socket, viewer } = await playingViewer();
  const told: unknown[] = [];
  viewer.on('layers', ({ selected }) => told.push(selected));
  void viewer.choose('h');
  expect(socket.last('rtc.subscribe').d).toEqual({ layer: 'h' });
  socket.ack('rtc.subscribe', { sessionId: 's1' });
  socket.receive({ t: 'rtc.layers', d: { available: [], selected: 'h', reason: 'manual' } });
  expect([viewer.choice, viewer.layers?.selected, told]).toEqual(['h', 'h', ['h']]);
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'consent_lost' } });
  await vi.advanceTimersByTimeAsync(600);
  expect(socket.last('rtc.subscribe').d).toEqual({ layer: 'h' });
  // Chosen before the answer: asked for behind it.
  await viewer.choose('auto');
  socket.ack('rtc.subscribe', { sessionId: 's2' });
  await settle();
  expect(socket.last('rtc.subscribe').d).toEqual({ layer: 'auto' });
  viewer.close();
});

test('a layer that is refused leaves the choice before, and one that a later publisher has not is given up', async () => {
  const { socket, viewer } = await playingViewer();
  const refused = viewer.choose('x').catch((error: KliegError) => error.code);
  socket.refuse('rtc.subscribe', 'layer_unknown');
  expect(await refused).toBe('layer_unknown');
  expect(viewer.choice).toBe('auto');
  void viewer.choose('h');
  socket.ack('rtc.subscribe', { sessionId: 's1' });
  socket.receive({ t: 'rtc.state', d: { sessionId: 's1', state: 'closed', reason: 'consent_lost' } });
  await vi.advanceTimersByTimeAsync(600);
  socket.refuse('rtc.subscribe', 'layer_unknown');
  await vi.advanceTimersByTimeAsync(2_000);
  expect(socket.last('rtc.subscribe').d).toEqual({ layer: 'auto' });
  expect(viewer.choice).toBe('auto');
  viewer.close();
});

test('a viewer whose network lets nothing through reads why, and the host is told once', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  const socket = sockets[0]!;
  socket.answersPings = true;
  await join(socket);
  await offer(socket, 's1');
  FakePeer.last().unanswered = ['udp', 'tcp'];
  await vi.advanceTimersByTimeAsync(7_000);
  expect(viewer.status).toEqual({ kind: 'stalled' });
  expect(socket.types()).not.toContain('rtc.trouble');
  await vi.advanceTimersByTimeAsync(2_000);
  expect(viewer.status).toEqual({ kind: 'stalled', trouble: 'blocked' });
  expect(socket.last('rtc.trouble').d).toEqual({ reason: 'blocked' });
  // Somebody else on the page has just said something by this socket.
  socket.refuse('rtc.trouble', 'rate_limited');
  await vi.advanceTimersByTimeAsync(7_000);
  expect(socket.types().filter((type) => type === 'rtc.trouble')).toHaveLength(2);
  socket.ack('rtc.trouble');
  expect(socket.last('rtc.close').d).toEqual({ sessionId: 's1' });
  await offer(socket, 's2');
  FakePeer.last().unanswered = ['udp', 'tcp'];
  await vi.advanceTimersByTimeAsync(20_000);
  expect(socket.types().filter((type) => type === 'rtc.trouble')).toHaveLength(2);
  await offer(socket, 's3');
  await play(1_500);
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('nothing is said of the way while the server is silent on the socket as well: it may be starting anew', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  await join(sockets[0]!);
  await offer(sockets[0]!, 's1');
  FakePeer.last().unanswered = ['udp', 'tcp'];
  await vi.advanceTimersByTimeAsync(20_000);
  expect(viewer.status).toEqual({ kind: 'stalled' });
  sockets[0]!.drop();
  expect(viewer.status).toEqual({ kind: 'reconnecting' });
  await vi.advanceTimersByTimeAsync(5_000);
  await resume(sockets[1]!);
  await offer(sockets[1]!, 's2');
  await play(10_000);
  expect(viewer.status).toEqual({ kind: 'playing' });
  expect(sockets.flatMap((socket) => socket.types())).not.toContain('rtc.trouble');
  viewer.close();
});

test('a session that fails when another one is on its way tells nothing of that', async () => {
  const { sockets, socket, viewer } = await playingViewer();
  socket.drop();
  await vi.advanceTimersByTimeAsync(5_000);
  await resume(sockets[1]!);
  await offer(sockets[1]!, 's2');
  FakePeer.made[0]!.become('failed');
  await vi.advanceTimersByTimeAsync(1_000);
  await play(2_000);
  expect(viewer.status).toEqual({ kind: 'playing' });
  expect(sockets[1]!.types()).not.toContain('rtc.trouble');
  viewer.close();
});

test('who waits for a host reads of nothing else, and no more of a way that is free by then', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  const socket = sockets[0]!;
  socket.answersPings = true;
  await join(socket);
  const { publisher } = snapshot();
  socket.receive({ t: 'rtc.publisher', seq: 11, d: { ...publisher, state: 'none' } });
  await offer(socket, 's1');
  socket.ack('rtc.answer');
  const peer = FakePeer.last();
  peer.unanswered = ['udp', 'tcp'];
  await vi.advanceTimersByTimeAsync(30_000);
  expect(socket.types()).not.toContain('rtc.trouble');
  peer.become('failed');
  await vi.advanceTimersByTimeAsync(1_500);
  expect(viewer.status).toEqual({ kind: 'waiting' });
  expect(socket.last('rtc.trouble').d).toEqual({ reason: 'blocked' });
  peer.become('connected');
  socket.receive({ t: 'rtc.publisher', seq: 12, d: publisher });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(viewer.status).toEqual({ kind: 'stalled' });
  viewer.close();
});

test('a socket that does not open is told of once it does, and one failure proves nothing', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  sockets[0]!.drop();
  expect(viewer.status).toEqual({ kind: 'reconnecting' });
  await vi.advanceTimersByTimeAsync(5_000);
  sockets[1]!.drop();
  expect(viewer.status).toEqual({ kind: 'reconnecting', trouble: 'unreachable' });
  await vi.advanceTimersByTimeAsync(9_000);
  const socket = sockets[2]!;
  socket.open();
  socket.drop();
  expect(viewer.status, 'it was reached').toEqual({ kind: 'reconnecting' });
  while (sockets.length < 4) await vi.advanceTimersByTimeAsync(100);
  const last = sockets[3]!;
  await join(last);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(last.last('rtc.trouble').d).toEqual({ reason: 'unreachable' });
  expect(room.trouble).toBeUndefined();
  viewer.close();
});

test('a server that is full says so the second time, and the picture begins where it is no more', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  const socket = sockets[0]!;
  await join(socket);
  socket.refuse('rtc.subscribe', 'busy', { retryAfterMs: 1_000 });
  await vi.advanceTimersByTimeAsync(1_100);
  expect(socket.types()).not.toContain('rtc.trouble');
  socket.refuse('rtc.subscribe', 'busy', { retryAfterMs: 1_000 });
  await vi.advanceTimersByTimeAsync(1_100);
  expect(socket.last('rtc.trouble').d).toEqual({ reason: 'full' });
  expect(viewer.status).toEqual({ kind: 'stalled', trouble: 'full' });
  await offer(socket, 's1');
  await play(500);
  expect(viewer.status).toEqual({ kind: 'playing' });
});

test('a token that was refused is told of once another one is taken', async () => {
  const { room, sockets } = openRoom();
  const viewer = new Viewer(room);
  for (const attempt of [0, 1]) {
    sockets[attempt]!.open();
    await settle();
    sockets[attempt]!.refuse('auth', 'token_invalid');
    await vi.advanceTimersByTimeAsync(5_000);
  }
  expect(viewer.status).toEqual({ kind: 'closed', code: 'token_invalid' });
  room.rejoin();
  expect(room.trouble).toBeUndefined();
  await join(sockets[2]!);
  await vi.advanceTimersByTimeAsync(1_500);
  expect(sockets[2]!.last('rtc.trouble').d).toEqual({ reason: 'token' });
  viewer.close();
});
