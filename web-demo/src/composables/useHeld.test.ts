import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { effectScope, nextTick, ref } from 'vue';
import { useHeld } from './useHeld.js';

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

test('what holds for a moment is not told, and what goes on holding is', async () => {
  const scope = effectScope();
  const holds = ref(true);
  const held = scope.run(() => useHeld(() => holds.value, 1000))!;
  vi.advanceTimersByTime(999);
  expect(held.value).toBe(false);
  holds.value = false;
  await nextTick();
  vi.advanceTimersByTime(5000);
  expect(held.value).toBe(false);
  holds.value = true;
  await nextTick();
  vi.advanceTimersByTime(1000);
  expect(held.value).toBe(true);
  holds.value = false;
  await nextTick();
  expect(held.value).toBe(false);
  scope.stop();
  expect(vi.getTimerCount()).toBe(0);
});
