/** Seconds that pass before something begins, and that may be cut short. */

import { onScopeDispose, ref } from 'vue';

/** Counts `from` seconds down, then calls `begin` once. */
export function useCountdown(from: number, begin: () => void) {
  /** How many are left; `undefined` while nothing is counted. */
  const left = ref<number>();
  let timer: ReturnType<typeof setInterval> | undefined;

  function cancel(): void {
    clearInterval(timer);
    left.value = undefined;
  }

  /** Begins without waiting any longer. */
  function finish(): void {
    if (left.value === undefined) return;
    cancel();
    begin();
  }

  function start(): void {
    cancel();
    left.value = from;
    timer = setInterval(() => {
      if (left.value !== undefined && left.value > 1) left.value--;
      else finish();
    }, 1000);
  }

  onScopeDispose(cancel);
  return { left, start, cancel, finish };
}
