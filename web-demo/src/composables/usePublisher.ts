/** The host's side of a room, as values. */

import { Publisher } from '@klieg/client';
import type { PublisherOptions, PublisherStats, PublisherStatus, Room } from '@klieg/client';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';

const MEASURE_EVERY_MS = 1_000;
/** Every connection starts slowly: what passes sooner is no reason for advice. */
const LIMITED_FOR_MS = 15_000;

/** Prepares to publish into a room; `stats` is measured while on the air. */
export function usePublisher(room: Room) {
  /** One for each time on the air; `undefined` before the first. */
  const publisher = shallowRef<Publisher>();
  const status = shallowRef<PublisherStatus>({ kind: 'idle' });
  const stats = shallowRef<PublisherStats>();

  function publish(stream: MediaStream, options: PublisherOptions): void {
    stop();
    const next = new Publisher(room);
    publisher.value = next;
    next.on('status', (value) => {
      if (next === publisher.value) status.value = value;
    });
    next.publish(stream, options);
  }

  const stop = () => publisher.value?.close();

  /** What has held the picture back for long enough to say so. */
  const limitedBy = ref<PublisherStats['limitedBy']>('none');
  let limitedForMs = 0;
  const timer = setInterval(async () => {
    stats.value = status.value.kind === 'live' ? await publisher.value?.stats() : undefined;
    const limit = stats.value?.limitedBy ?? 'none';
    limitedForMs = limit === 'none' ? 0 : limitedForMs + MEASURE_EVERY_MS;
    limitedBy.value = limitedForMs >= LIMITED_FOR_MS ? limit : 'none';
  }, MEASURE_EVERY_MS);
  onScopeDispose(() => {
    clearInterval(timer);
    stop();
  });

  /** Whether the host wants to be on the air. */
  const onAir = computed(() => ['connecting', 'live', 'reconnecting'].includes(status.value.kind));
  return { publisher, publish, stop, status, stats, limitedBy, onAir };
}
