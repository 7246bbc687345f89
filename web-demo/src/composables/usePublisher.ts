/** The host's side of a room, as values. */

import { Publisher } from '@klieg/client';
import type { PublisherStats, PublisherStatus, Room } from '@klieg/client';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';

const MEASURE_EVERY_MS = 1_000;
/** Every connection starts slowly: what passes sooner is no reason for advice. */
const LIMITED_FOR_MS = 15_000;

/** Prepares to publish into a room; `stats` is measured while on the air. */
export function usePublisher(room: Room) {
  const publisher = new Publisher(room);
  const status = shallowRef<PublisherStatus>(publisher.status);
  const stats = shallowRef<PublisherStats>();
  publisher.on('status', (value) => { status.value = value; });

  /** What has held the picture back for long enough to say so. */
  const limitedBy = ref<PublisherStats['limitedBy']>('none');
  let limitedForMs = 0;
  const timer = setInterval(async () => {
    stats.value = status.value.kind === 'live' ? await publisher.stats() : undefined;
    const limit = stats.value?.limitedBy ?? 'none';
    limitedForMs = limit === 'none' ? 0 : limitedForMs + MEASURE_EVERY_MS;
    limitedBy.value = limitedForMs >= LIMITED_FOR_MS ? limit : 'none';
  }, MEASURE_EVERY_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    publisher.close();
  });

  /** Whether the host wants to be on the air. */
  const onAir = computed(() => ['connecting', 'live', 'reconnecting'].includes(status.value.kind));
  return { publisher, status, stats, limitedBy, onAir };
}
