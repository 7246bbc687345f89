/** How many watch, in words. */

import type { RoomStats } from '@klieg/client';
import { computed } from 'vue';
import type { Ref } from 'vue';
import { messages as t } from '../messages/index.js';

/** Words the viewer count of a room. */
export function useViewerCount(stats: Ref<RoomStats | undefined>) {
  const count = computed(() => stats.value?.viewerCount ?? 0);
  return { count, words: computed(() => t.viewers(count.value)) };
}
