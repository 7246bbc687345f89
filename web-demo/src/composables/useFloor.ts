/** What the host asks and is asked, as values. */

import { KliegError } from '@klieg/client';
import type { OwnPoll, OwnQuestion, Room } from '@klieg/client';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';
import { api } from './useSession.js';
import { describeError } from '../messages/index.js';

/** How long the outcome of a poll is shown to those who only watch. */
const OUTCOME_MS = 30_000;

/** Joins the polls and questions of a room. */
export function useFloor(room: Room) {
  /** The last poll, and what the visitor chose. */
  const poll = shallowRef<OwnPoll>();
  const asked = shallowRef<ReadonlyMap<string, OwnQuestion>>(new Map());
  /** Why something was not done; empty otherwise. */
  const problem = ref('');
  const now = ref(Date.now());
  const clock = setInterval(() => { now.value = Date.now(); }, 5_000);

  /** What is not answered first, and of that what most want to know. */
  const questions = computed(() => [...asked.value.values()].sort((one, other) =>
    Number(one.answered) - Number(other.answered) || other.votes - one.votes || one.questionId.localeCompare(other.questionId)));
  /** The poll while it is open, and for a while after. */
  const current = computed(() => poll.value !== undefined && (poll.value.open || now.value - (poll.value.closedAt ?? 0) < OUTCOME_MS) ? poll.value : undefined);

  const stops = [
    room.on('poll', (value) => {
      now.value = Date.now();
      const before = poll.value?.pollId === value.pollId ? poll.value : undefined;
      // Of a frame before the one at which it was closed, which was known sooner.
      if (before?.open === false && value.open) return;
      const chosen = before?.chosen;
      poll.value = { ...value, ...chosen !== undefined && { chosen } };
    }),
    room.on('question', (question) => put({ ...question, voted: asked.value.get(question.questionId)?.voted ?? false })),
    room.on('questionRemoved', ({ questionId }) => {
      const rest = new Map(asked.value);
      rest.delete(questionId);
      asked.value = rest;
    }),
    // What the visitor chose and what was asked is not in the snapshot.
    room.on('joined', () => void read()),
    room.on('resumed', () => void read()),
  ];
  onScopeDispose(() => {
    for (const stop of stops) stop();
    clearInterval(clock);
  });

  async function read(): Promise<void> {
    try {
      const [polls, page] = await Promise.all([api.polls(room.id), api.questions(room.id)]);
      asked.value = new Map(page.items.map((question) => [question.questionId, question]));
      // The poll itself comes over the socket, when its frame is shown.
      const own = polls.items.find(({ pollId }) => pollId === poll.value?.pollId);
      if (poll.value !== undefined && own?.chosen !== undefined) poll.value = { ...poll.value, chosen: own.chosen };
    } catch {
      // What comes over the socket is shown nevertheless.
    }
  }

  function put(question: OwnQuestion): void {
    asked.value = new Map(asked.value).set(question.questionId, question);
  }

  /** Returns whether it was done; `refused` whether it deals with that itself. */
  async function attempt(work: () => Promise<unknown>, refused: (error: KliegError) => boolean = () => false): Promise<boolean> {
    problem.value = '';
    try {
      await work();
      return true;
    } catch (thrown) {
      const error = KliegError.from(thrown);
      if (refused(error)) return false;
      problem.value = error.code === 'invalid_value' || error.code === 'room_state' ? error.message : describeError(error);
      return false;
    }
  }

  const openPoll = (question: string, options: string[]) => attempt(() => room.request('poll.open', { question, options }));
  const closePoll = (pollId: string) => attempt(() => room.request('poll.close', { pollId }));
  const ask = (text: string) => attempt(() => room.request('question.ask', { text, clientId: randomId() }));
  const answer = (questionId: string, answered: boolean) => attempt(() => room.request('question.answer', { questionId, answered }));
  const remove = (questionId: string) => attempt(() => room.request('question.remove', { questionId }));

  async function votePoll(pollId: string, option: number): Promise<boolean> {
    const done = await attempt(() => room.request('poll.vote', { pollId, option }), ({ code }) => code === 'room_state' && end(pollId));
    if (done && poll.value?.pollId === pollId) poll.value = { ...poll.value, chosen: option };
    return done;
  }

  /** Shows a poll as closed before the frame at which that happened, to somebody whose vote came too late, and how it ended. */
  function end(pollId: string): boolean {
    if (poll.value?.pollId !== pollId) return false;
    now.value = Date.now();
    poll.value = { ...poll.value, open: false, closedAt: now.value };
    api.polls(room.id).then(({ items }) => {
      const ended = items.find((one) => one.pollId === pollId && !one.open);
      if (ended !== undefined && poll.value?.pollId === pollId) poll.value = ended;
    }).catch(() => {
      // The votes that were known are shown, and the others once its frame is.
    });
    return true;
  }

  async function voteQuestion(questionId: string, up: boolean): Promise<boolean> {
    const done = await attempt(() => room.request('question.vote', { questionId, up }));
    const question = asked.value.get(questionId);
    if (done && question !== undefined) put({ ...question, voted: up });
    return done;
  }

  return { poll, current, questions, problem, openPoll, closePoll, votePoll, ask, voteQuestion, answer, remove };
}

function randomId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
