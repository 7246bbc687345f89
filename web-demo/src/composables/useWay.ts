/** The way to the server, measured over the socket of a room. */

import type { Room } from '@klieg/client';
import { onScopeDispose, ref, shallowRef } from 'vue';
import { wayOf } from './uplink.js';
import type { Way } from './uplink.js';

const ROUND_TRIPS = 8;
/** The server takes twenty messages a second, of all that a page sends. */
const PAUSE_MS = 150;

export function useWay(room: Room) {
  const way = shallowRef<Way>();
  const testing = ref(false);
  const failed = ref(false);
  let disposed = false;

  /** Measures anew. */
  async function test(): Promise<void> {
    if (testing.value) return;
    testing.value = true;
    failed.value = false;
    way.value = undefined;
    const roundTrips: number[] = [];
    try {
      while (roundTrips.length < ROUND_TRIPS && !disposed) {
        const sentAt = performance.now();
        await room.request('stats', {});
        roundTrips.push(performance.now() - sentAt);
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
      way.value = wayOf(roundTrips);
    } catch {
      failed.value = true;
    } finally {
      testing.value = false;
    }
  }

  onScopeDispose(() => { disposed = true; });
  return { way, testing, failed, test };
}
