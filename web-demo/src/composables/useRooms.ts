/** The list of rooms, kept fresh while it is looked at. */

import { KliegError } from '@klieg/client';
import type { RoomInfo } from '@klieg/client';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';
import { api } from './useSession.js';

const REFRESH_EVERY_MS = 5_000;
const TYPING_MS = 250;
const LISTED = 60;

/** Lists the rooms that match `query`. */
export function useRooms(query: Ref<string>) {
  /** `undefined` until the first answer. */
  const rooms = shallowRef<RoomInfo[]>();
  /** What `rooms` was asked with. */
  const answeredQuery = ref('');
  /** Why the last answer did not come; `rooms` are those of an earlier one then. */
  const error = shallowRef<KliegError>();
  let timer: ReturnType<typeof setTimeout>;
  let latest = 0;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    const request = ++latest;
    const q = query.value.trim();
    try {
      const { items } = await api.rooms({ q, limit: LISTED });
      if (request !== latest) return;
      rooms.value = items;
      answeredQuery.value = q;
      error.value = undefined;
    } catch (thrown) {
      if (request !== latest) return;
      error.value = KliegError.from(thrown);
    }
    schedule(REFRESH_EVERY_MS);
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (!document.hidden) timer = setTimeout(() => void refresh(), ms);
  }

  const handleVisibility = () => {
    if (!document.hidden) void refresh();
  };
  const handleNetwork = () => void refresh();
  document.addEventListener('visibilitychange', handleVisibility);
  window.addEventListener('online', handleNetwork);
  watch(query, () => schedule(TYPING_MS));
  onScopeDispose(() => {
    latest++;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', handleVisibility);
    window.removeEventListener('online', handleNetwork);
  });

  void refresh();
  return { rooms, answeredQuery, error, refresh };
}
