/** Which rooms the lobby shows, as its address says: a link that is copied shows the same. */

import { computed, onScopeDispose, ref, watch } from 'vue';
import { useRoute, useRouter } from 'vue-router';
import type { LocationQueryRaw, LocationQueryValue } from 'vue-router';

const TYPING_MS = 250;
/** The server takes no more. */
const MAX_ASKED = 120;

/** What the lobby has a list for. */
export const SHOWS = ['live', 'upcoming', 'past'] as const;
export type Show = (typeof SHOWS)[number];

/** Which rooms are shown. */
export interface Filters {
  show: Show;
  /** Words; empty for whatever it is called. */
  q: string;
  /** Empty for all. */
  category: string;
}

export function useFilters() {
  const route = useRoute();
  const router = useRouter();
  const filters = computed(() => read(route.query));
  /** What is in the field; a while later it is in the address. */
  const typed = ref(filters.value.q);
  let timer: ReturnType<typeof setTimeout>;

  watch(() => filters.value.q, (q) => {
    if (q !== typed.value.trim()) typed.value = q;
  });
  watch(typed, (text) => {
    clearTimeout(timer);
    if (text.trim() === filters.value.q) return;
    // What is typed letter by letter is one step back.
    timer = setTimeout(() => void router.replace({ query: write({ ...filters.value, q: text.trim() }) }), TYPING_MS);
  });
  onScopeDispose(() => clearTimeout(timer));

  /** Returns where the lobby shows something else. */
  function to(change: Partial<Filters>) {
    return { query: write({ ...filters.value, ...change }) };
  }

  return { filters, typed, to };
}

/** Reads an address; what is not known there is as if it were not there. */
export function read(query: Readonly<Record<string, LocationQueryValue | LocationQueryValue[] | undefined>>): Filters {
  const first = (name: string) => [query[name]].flat()[0] ?? '';
  const category = first('category');
  return {
    show: SHOWS.find((show) => show === first('show')) ?? 'live',
    q: first('q').slice(0, MAX_ASKED),
    category: /^[a-z0-9-]{1,40}$/.test(category) ? category : '',
  };
}

/** Writes an address, as short as it can be. */
export function write({ show, q, category }: Filters): LocationQueryRaw {
  return { ...show !== 'live' && { show }, ...q !== '' && { q: q.slice(0, MAX_ASKED) }, ...category !== '' && { category } };
}
