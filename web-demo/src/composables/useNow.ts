/** The present, as a value that goes on. */

import { onScopeDispose, ref } from 'vue';

/** Gives milliseconds since 1970, new every `everyMs`. */
export function useNow(everyMs: number) {
  const now = ref(Date.now());
  const clock = setInterval(() => { now.value = Date.now(); }, everyMs);
  onScopeDispose(() => clearInterval(clock));
  return now;
}
