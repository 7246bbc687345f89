/** The list of rooms, kept fresh while it is looked at. */

import { KliegError } from '@klieg/client';
import type { Page, RoomInfo, RoomQuery } from '@klieg/client';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';
import type { Filters } from './useFilters.js';
import { api } from './useSession.js';

const REFRESH_EVERY_MS = 5_000;
const LISTED = 60;
/** More are found by words. */
const MOST_PAGES = 10;

/** Some rooms of a list. */
export interface Answer {
  /** What was asked for. */
  filters: Filters;
  rooms: RoomInfo[];
  /** Whether there are more of them. */
  more: boolean;
}

/** Lists the rooms that match. */
export function useRooms(filters: Ref<Filters>) {
  /** `undefined` until there is one to these filters; words that are typed leave that of the words before. */
  const answer = shallowRef<Answer>();
  /** Why the last answer did not come; that shown is an earlier one then. */
  const error = shallowRef<KliegError>();
  /** Those of the rooms that were seen, in their order. */
  const categories = shallowRef<readonly string[]>([]);
  /** How many pages of the list are wanted. */
  const pages = ref(1);
  let timer: ReturnType<typeof setTimeout>;
  let latest = 0;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    const request = ++latest;
    const wanted = filters.value;
    try {
      const { rooms, more } = await list(wanted, pages.value);
      if (request !== latest) return;
      answer.value = { filters: wanted, rooms, more: more && pages.value < MOST_PAGES };
      categories.value = merge(categories.value, rooms, wanted.category);
      error.value = undefined;
    } catch (thrown) {
      if (request !== latest) return;
      error.value = KliegError.from(thrown);
    }
    if (!document.hidden) timer = setTimeout(() => void refresh(), REFRESH_EVERY_MS);
  }

  /** Asks for the rooms behind those that are there. */
  function further(): Promise<void> {
    pages.value++;
    return refresh();
  }

  const handleVisibility = () => {
    if (!document.hidden) void refresh();
  };
  const handleNetwork = () => void refresh();
  document.addEventListener('visibilitychange', handleVisibility);
  window.addEventListener('online', handleNetwork);
  watch(filters, (now, before) => {
    pages.value = 1;
    if (now.show !== before.show || now.category !== before.category) answer.value = undefined;
    void refresh();
  });
  onScopeDispose(() => {
    latest++;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', handleVisibility);
    window.removeEventListener('online', handleNetwork);
  });

  void refresh();
  return { answer, error, categories, refresh, further };
}

export const isLive = ({ status }: RoomInfo) => status === 'live' || status === 'interrupted';
export const isComing = ({ status }: RoomInfo) => status === 'ready' || status === 'scheduled';

/** Puts those first whose host is there, then those that begin soonest, then those of which nobody knows when. */
export function bySoonest(rooms: readonly RoomInfo[]): RoomInfo[] {
  const at = ({ status, scheduledAt }: RoomInfo) => status === 'ready' ? 0 : scheduledAt === undefined ? Number.MAX_VALUE : Date.parse(scheduledAt);
  return rooms.toSorted((one, other) => at(one) - at(other));
}

async function list({ show, q, category }: Filters, pages: number): Promise<{ rooms: RoomInfo[]; more: boolean }> {
  const query = { q, category, limit: LISTED };
  if (show === 'past') return await through((cursor) => api.rooms({ ...query, ...cursor }, 'past'), pages);
  if (show === 'live') {
    // On air first, then those to come, then those that are over: of them there are no more to be asked for.
    const { rooms, more } = await through((cursor) => api.rooms({ ...query, ...cursor }), pages);
    const kept = rooms.filter((room) => isLive(room) || isComing(room));
    return { rooms: kept, more: more && kept.length === rooms.length };
  }
  // By their time the server lists those alone that have one.
  const [ready, dated, all] = await Promise.all([
    api.rooms({ ...query, status: 'ready' }),
    through((cursor) => api.rooms({ ...query, status: 'scheduled', sort: 'soonest', ...cursor }), pages),
    through((cursor) => api.rooms({ ...query, status: 'scheduled', ...cursor }), pages),
  ]);
  const undated = all.rooms.filter(({ scheduledAt }) => scheduledAt === undefined);
  return { rooms: [...ready.items, ...dated.rooms, ...undated], more: dated.more || all.more };
}

/** Asks for several pages, one after the other. */
async function through(ask: (cursor: Pick<RoomQuery, 'cursor'>) => Promise<Page<RoomInfo>>, pages: number) {
  const rooms = new Map<string, RoomInfo>();
  let cursor: string | null | undefined;
  for (let page = 0; page < pages && cursor !== null; page++) {
    const { items, nextCursor = null } = await ask(cursor === undefined ? {} : { cursor });
    // A room that went on air between two pages is on both.
    for (const room of items) rooms.set(room.id, room);
    cursor = nextCursor;
  }
  return { rooms: [...rooms.values()], more: cursor !== null };
}

function merge(known: readonly string[], rooms: readonly RoomInfo[], chosen: string): readonly string[] {
  const all = new Set([...known, ...rooms.flatMap(({ category }) => category ?? []), ...chosen === '' ? [] : [chosen]]);
  return all.size === known.length ? known : [...all].toSorted();
}
