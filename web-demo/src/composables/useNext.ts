/** What to watch when an event is over. */

import type { RoomInfo } from '@klieg/client';
import { onScopeDispose, shallowRef } from 'vue';
import { isComing, isLive } from './useRooms.js';
import { api } from './useSession.js';

const REFRESH_EVERY_MS = 20_000;
/** As many as stand beside each other. */
const SHOWN = 3;

/** Asks for rooms of the same host and category, and others that are on, for as long as they are looked at. */
export function useNext(roomId: string) {
  const next = shallowRef<RoomInfo[]>([]);

  async function refresh(): Promise<void> {
    try {
      const { items } = await api.related(roomId);
      next.value = nextOf(items);
    } catch {
      // Those of before, or none: nobody waits for them.
    }
  }

  void refresh();
  const timer = setInterval(() => {
    if (!document.hidden) void refresh();
  }, REFRESH_EVERY_MS);
  onScopeDispose(() => clearInterval(timer));
  return next;
}

/** Picks what is on, in the order in which the server recommends it, then what begins soonest, then what waits for its host. */
export function nextOf(rooms: readonly RoomInfo[]): RoomInfo[] {
  const at = ({ scheduledAt }: RoomInfo) => scheduledAt === undefined ? Number.MAX_VALUE : Date.parse(scheduledAt);
  const coming = rooms.filter(isComing).toSorted((one, other) => at(one) - at(other));
  return [...rooms.filter(isLive), ...coming].slice(0, SHOWN);
}
