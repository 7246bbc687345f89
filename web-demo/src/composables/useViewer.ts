/** What the viewer of a room sees, as values. */

import { Viewer } from '@klieg/client';
import type { Room, ViewerStatus } from '@klieg/client';
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';

const LOOK_EVERY_MS = 2_000;

/** Watches a room in `video`. */
export function useViewer(room: Room, video: Ref<HTMLVideoElement | null>) {
  const viewer = new Viewer(room);
  const status = shallowRef<ViewerStatus>(viewer.status);
  const stream = shallowRef<MediaStream>();
  viewer.on('status', (value) => { status.value = value; });
  viewer.on('stream', (value) => { stream.value = value; });
  watch(video, (element) => {
    if (element !== null) viewer.attach(element);
  });
  /** How old the shown picture is; `undefined` where that is not known. */
  const latencyMs = shallowRef<number>();
  const look = setInterval(async () => {
    const stats = status.value.kind === 'playing' ? await viewer.stats().catch(() => undefined) : undefined;
    latencyMs.value = stats?.latencyMs;
  }, LOOK_EVERY_MS);
  onScopeDispose(() => {
    clearInterval(look);
    viewer.close();
  });
  return { status, stream, latencyMs };
}
