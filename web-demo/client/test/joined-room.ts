/** A room over fake sockets. */

import { Room } from '../src/index.js';
import type { ChatMessage, Snapshot } from '../src/index.js';
import { FakeSocket } from './fake-socket.js';

export function snapshot(seq = 10, chatHistory = [line(9, 'before')]): Snapshot {
  return {
    room: {
      id: 'demo', title: 'Demo', status: 'live', visibility: 'public', owner: { id: 'o', name: 'Ann' }, allowGuestChat: false,
    },
    publisher: { state: 'live', audio: true, video: true, audioMuted: false, videoMuted: false, videoCodec: 'vp8' },
    stats: { viewerCount: 1, likes: 0, peak: 1 },
    seq,
    chatHistory,
    pinned: null,
    chatSettings: { slowModeSec: 0, audience: 'everyone', links: 'allow', guests: false },
    products: { list: [], featuredId: null },
    poll: null,
    iceServers: [],
    you: { id: 'y', name: 'Cy', role: 'viewer', grants: { publish: false, chat: true, react: true, moderate: false }, muted: false },
  };
}

export function line(seq: number, text: string): ChatMessage {
  return { messageId: `m${seq}`, seq, ts: 0, kind: 'chat', text, from: { id: 'b', name: 'Bob', role: 'viewer' } };
}

/** Opens a room; `sockets` grows with each connection. */
export function openRoom(token: (renew: boolean) => Promise<string> = async () => 'token') {
  const sockets: FakeSocket[] = [];
  const room = new Room({
    url: 'ws://test/ws',
    roomId: 'demo',
    token,
    socket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
  });
  room.open();
  return { room, sockets };
}

/** Lets what is already decided happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

/** Opens a room and lets the server take it in. */
export async function joinedRoom() {
  const { room, sockets } = openRoom();
  await join(sockets[0]!);
  return { room, sockets, socket: sockets[0]! };
}

export async function join(socket: FakeSocket, seq = 10, chatHistory?: ChatMessage[]): Promise<void> {
  socket.open();
  await settle();
  socket.ack('auth');
  socket.receive({ t: 'joined', d: snapshot(seq, chatHistory) });
  socket.ack('join');
  await settle();
}
