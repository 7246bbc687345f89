/** Tells apart what stays from what only passes. */
import { onScopeDispose, ref, watch } from 'vue';
import type { Ref } from 'vue';

/** Becomes `true` when `holds` has for `ms` without a break, and `false` at once when it does no more. */
export function useHeld(holds: () => boolean, ms: number): Readonly<Ref<boolean>> {
  const held = ref(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  watch(holds, (now) => {
    clearTimeout(timer);
    held.value = false;
    if (now) timer = setTimeout(() => { held.value = true; }, ms);
  }, { immediate: true });
  onScopeDispose(() => clearTimeout(timer));
  return held;
}
