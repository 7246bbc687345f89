import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { joinedRoom, openRoom, settle, snapshot } from './joined-room.js';
import type { Attendance, Order, Poll, Products, Question } from '../src/index.js';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

const tea = { id: 'p', name: 'Tea', price: 450, discountPercent: 0, currency: 'EUR', sold: 0 };
const poll: Poll = { pollId: 'q', question: 'Tea?', options: [{ text: 'Yes', votes: 1 }, { text: 'No', votes: 0 }], open: true, openedAt: 0 };

test('what is sold and asked comes with the snapshot and with each change', async () => {
  const { room, sockets } = openRoom();
  const sold: Products[] = [];
  const polls: Poll[] = [];
  room.on('products', (products) => sold.push(products));
  room.on('poll', (value) => polls.push(value));
  sockets[0]!.open();
  await settle();
  sockets[0]!.receive({ t: 'joined', d: { ...snapshot(), products: { list: [tea], featuredId: null }, poll } });
  expect([sold.length, polls.length]).toEqual([1, 1]);
  sockets[0]!.receive({ t: 'products', d: { list: [tea], featuredId: 'p' } });
  sockets[0]!.receive({ t: 'poll', d: { ...poll, open: false, closedAt: 1 } });
  expect(sold.at(-1)?.featuredId).toBe('p');
  sockets[0]!.receive({ t: 'product', d: { ...tea, sold: 2 } });
  expect(sold.at(-1)).toEqual({ list: [{ ...tea, sold: 2 }], featuredId: 'p' });
  const told = sold.length;
  sockets[0]!.receive({ t: 'product', d: { ...tea, id: 'gone' } });
  expect(sold.length).toBe(told);
  expect(polls.at(-1)?.open).toBe(false);
});

test('a snapshot without a poll tells of none', async () => {
  const { room, sockets } = openRoom();
  const told: string[] = [];
  room.on('products', () => told.push('products'));
  room.on('poll', () => told.push('poll'));
  sockets[0]!.open();
  await settle();
  sockets[0]!.receive({ t: 'joined', d: snapshot() });
  expect(told).toEqual(['products']);
});

test('orders, questions and people are told as they come', async () => {
  const { room, socket } = await joinedRoom();
  const told: unknown[] = [];
  const keep = (value: Order | Question | Attendance | { questionId: string }) => { told.push(value); };
  room.on('order', keep);
  room.on('question', keep);
  room.on('questionRemoved', keep);
  room.on('came', keep);
  room.on('went', keep);
  const messages = [
    { t: 'order', d: { messageId: 'm', displayName: 'Bob', productName: 'Tea' } },
    { t: 'question', d: { questionId: 'x', ts: 0, text: 'Why?', from: { id: 'b', name: 'Bob', role: 'viewer' }, votes: 0, answered: false } },
    { t: 'question.removed', d: { questionId: 'x' } },
    { t: 'participant.joined', d: { id: 'b', name: 'Bob', role: 'viewer', watching: false, present: 2 } },
    { t: 'participant.left', d: { id: 'b', name: 'Bob', role: 'viewer', watching: true, present: 1 } },
  ];
  socket.receive(JSON.stringify(messages));
  expect(told).toEqual(messages.map(({ d }) => d));
});

test('a like is answered with whether it holds and how many do', async () => {
  const { room, socket } = await joinedRoom();
  const answer = room.request('like.toggle', {});
  socket.ack('like.toggle', { liked: true, likes: 3 });
  expect(await answer).toMatchObject({ liked: true, likes: 3 });
});
