/** Reactions that float up: few enough never to cost a frame of the video. */

import type { Chat, RoomStats } from '@klieg/client';
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';

const MOST_AT_ONCE = 24;
const MOST_PER_BATCH = 8;
/** Batches come up to four a second: spreads one over the time until the next. */
const SPREAD_MS = 250;

/** One reaction on its way up. */
export interface Floating {
  key: number;
  emoji: string;
  /** Where it starts, in percent of the width. */
  left: number;
  /** How far it drifts aside, in pixels. */
  sway: number;
  tilt: number;
  delayMs: number;
  durationMs: number;
}

/** What floats up for a like. */
const HEART = '❤';

/** Collects the reactions of a chat and new likes; `landed` takes one away that has reached the top. */
export function useReactions(chat: Chat, stats: Ref<RoomStats | undefined>) {
  const floating = shallowRef<Floating[]>([]);
  let key = 0;

  function float(counts: Record<string, number>): void {
    const room = MOST_AT_ONCE - floating.value.length;
    const fresh = pick(counts, Math.min(MOST_PER_BATCH, room)).map((emoji, index): Floating => ({
      key: key++,
      emoji,
      left: 16 + Math.random() * 60,
      sway: (Math.random() - 0.5) * 48,
      tilt: (Math.random() - 0.5) * 40,
      delayMs: (index * SPREAD_MS) / MOST_PER_BATCH,
      durationMs: 2200 + Math.random() * 900,
    }));
    if (fresh.length > 0) floating.value = [...floating.value, ...fresh];
  }

  onScopeDispose(chat.on('reactions', float));
  watch(() => stats.value?.likes, (now, before) => {
    if (now !== undefined && before !== undefined && now > before) float({ [HEART]: now - before });
  });

  function landed(done: Floating): void {
    floating.value = floating.value.filter((one) => one !== done);
  }

  return { floating, landed };
}

/** Picks at most `limit` of what was counted, in turn, so that the rare ones are seen beside the many. */
export function pick(counts: Record<string, number>, limit: number): string[] {
  const left = new Map(Object.entries(counts).filter(([, count]) => count > 0));
  const picked: string[] = [];
  while (left.size > 0 && picked.length < limit) {
    for (const [emoji, count] of left) {
      if (picked.length >= limit) break;
      picked.push(emoji);
      if (count <= 1) left.delete(emoji);
      else left.set(emoji, count - 1);
    }
  }
  return picked;
}
