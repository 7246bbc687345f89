/** The host's side of a room, as values. */

import { Publisher } from '@klieg/client';
import type { PublisherStats, PublisherStatus, Room } from '@klieg/client';
import { computed, onScopeDispose, shallowRef } from 'vue';

const MEASURE_EVERY_MS = 1_000;

/** Prepares to publish into a room; `stats` is measured while on the air. */
export function usePublisher(room: Room) {
  const publisher = new Publisher(room);
  const status = shallowRef<PublisherStatus>(publisher.status);
  const stats = shallowRef<PublisherStats>();
  publisher.on('status', (value) => { status.value = value; });

  const timer = setInterval(async () => {
    stats.value = status.value.kind === 'live' ? await publisher.stats() : undefined;
  }, MEASURE_EVERY_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    publisher.close();
  });

  /** Whether the host wants to be on the air. */
  const onAir = computed(() => ['connecting', 'live', 'reconnecting'].includes(status.value.kind));
  return { publisher, status, stats, onAir };
}
