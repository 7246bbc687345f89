import { effectScope } from 'vue';
import { expect, test, vi } from 'vitest';
import type { OwnPoll } from '@klieg/client';
import { joinedRoom, settle } from '../../client/test/joined-room.js';
import { useFloor } from './useFloor.js';

const polls = vi.hoisted(() => vi.fn<() => Promise<{ items: unknown[]; nextCursor: null }>>());
vi.mock('./useSession.js', () => ({ api: { polls, questions: () => Promise.resolve({ items: [], nextCursor: null }) } }));

const poll = (votes: number, more: Partial<OwnPoll> = {}): OwnPoll => ({
  pollId: 'p1', question: 'Tea?', options: [{ text: 'Yes', votes }, { text: 'No', votes: 1 }], open: true, openedAt: Date.now(), ...more,
} as OwnPoll);

/** A visitor who is shown an open poll that the host has closed, and votes in it. */
async function lateVote() {
  const { room, socket } = await joinedRoom();
  const scope = effectScope();
  const floor = scope.run(() => useFloor(room))!;
  socket.receive({ t: 'poll', seq: 11, d: poll(2) });
  const voting = floor.votePoll('p1', 0);
  await settle();
  socket.refuse('poll.vote', 'room_state');
  expect(await voting).toBe(false);
  await settle();
  const done = () => {
    scope.stop();
    room.close();
  };
  return { ...floor, socket, done };
}

test('who votes in a poll that is closed already is shown how it ended, and no error', async () => {
  polls.mockResolvedValue({ items: [poll(7, { open: false, closedAt: Date.now(), chosen: 1 })], nextCursor: null });
  const { current, problem, socket, done } = await lateVote();
  expect(problem.value).toBe('');
  expect(current.value).toMatchObject({ open: false, chosen: 1, options: [{ votes: 7 }, { votes: 1 }] });

  // The frames before come later than that.
  socket.receive({ t: 'poll', seq: 12, d: poll(5) });
  expect(current.value).toMatchObject({ open: false, options: [{ votes: 7 }, { votes: 1 }] });
  socket.receive({ t: 'poll', seq: 13, d: poll(8, { open: false, closedAt: Date.now() }) });
  expect(current.value).toMatchObject({ open: false, chosen: 1, options: [{ votes: 8 }, { votes: 1 }] });
  done();
});

test('where the end of a poll cannot be had it is closed with the votes that were known', async () => {
  polls.mockRejectedValue(new Error('no network'));
  const { current, problem, done } = await lateVote();
  expect(problem.value).toBe('');
  expect(current.value).toMatchObject({ open: false, options: [{ votes: 2 }, { votes: 1 }] });
  done();
});
