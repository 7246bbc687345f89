/** What arrives in a room of an encoder, or of whoever else publishes into it, for its host to look at. */

import { Viewer } from '@klieg/client';
import type { PublisherState, Room } from '@klieg/client';
import { computed, onScopeDispose, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';
import { KeyframeGaps, findingsOf } from './encoder.js';
import type { Watched } from './encoder.js';

const SAMPLE_EVERY_MS = 500;

/** Looks at what somebody else publishes while this page is `idle`; the host counts as a viewer for as long. */
export function useEncoder(room: Room, publisher: Readonly<Ref<PublisherState | undefined>>, idle: Readonly<Ref<boolean>>) {
  const arrived = computed(() => idle.value && publisher.value?.state === 'live' ? publisher.value : undefined);
  const stream = shallowRef<MediaStream>();
  /** `undefined` while nobody looks. */
  const watched = shallowRef<Watched>();
  const findings = computed(() => arrived.value === undefined ? [] : findingsOf(arrived.value, watched.value));
  let end: (() => void) | undefined;

  function look(): void {
    leave();
    const viewer = new Viewer(room);
    const gaps = new KeyframeGaps();
    let beganAt: number | undefined;
    viewer.on('stream', (value) => { stream.value = value; });
    const timer = setInterval(async () => {
      const stats = await viewer.stats().catch(() => undefined); // Closed meanwhile.
      if (watched.value === undefined || end !== stop) return;
      const now = performance.now();
      const shows = stats !== undefined && stats.framesDecoded > 0;
      if (shows) beganAt ??= now;
      watched.value = {
        unplayable: viewer.status.kind === 'unplayable',
        stats: shows ? stats : undefined,
        sinceMs: beganAt === undefined ? 0 : now - beganAt,
        keyframeGapMs: shows ? gaps.sample(now, stats.keyFramesDecoded) : 0,
        layers: viewer.layers?.available.length ?? 0,
      };
    }, SAMPLE_EVERY_MS);
    const stop = () => {
      clearInterval(timer);
      viewer.close();
    };
    end = stop;
    watched.value = { unplayable: false, stats: undefined, sinceMs: 0, keyframeGapMs: 0, layers: 0 };
  }

  function leave(): void {
    end?.();
    end = undefined;
    stream.value = undefined;
    watched.value = undefined;
  }

  // What comes next is to be judged by itself.
  watch(() => arrived.value === undefined, leave);
  onScopeDispose(leave);
  return { arrived, stream, watched, findings, look, leave };
}

/** What `useEncoder` returns. */
export type Encoder = ReturnType<typeof useEncoder>;
