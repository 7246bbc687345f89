/** Viewers of the event who could not watch, by what kept them from it. */

import type { Room, Trouble } from '@klieg/client';
import { onScopeDispose, shallowRef } from 'vue';
import { messages as t } from '../messages/index.js';

/** One reason, and how many had it. */
export interface Troubled {
  reason: Trouble;
  viewers: number;
}

/** Follows what the room tells those who may see its figures. */
export function useTroubles(room: Room) {
  const troubles = shallowRef<Troubled[]>([]);
  const stop = room.on('analytics', (figures) => {
    const next = listed(figures.troubles);
    // They come once a second, and are hardly ever others.
    if (JSON.stringify(next) !== JSON.stringify(troubles.value)) troubles.value = next;
  });
  onScopeDispose(stop);
  return troubles;
}

/** Lists the reasons that there are words for, the most first. */
export function listed(counts: Readonly<Record<string, number>>): Troubled[] {
  const known = Object.entries(counts).filter(([reason, viewers]) => viewers > 0 && Object.hasOwn(t.troubles.reasons, reason));
  return known.map(([reason, viewers]) => ({ reason: reason as Trouble, viewers })).sort((a, b) => b.viewers - a.viewers);
}
