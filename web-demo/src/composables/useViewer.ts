/** What the viewer of a room sees, as values. */

import { Viewer } from '@klieg/client';
import type { Layers, Room, ViewerStats, ViewerStatus } from '@klieg/client';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
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
  const layers = shallowRef<Layers>();
  /** The layer that the visitor asked for, or `auto`. */
  const choice = ref(viewer.choice);
  viewer.on('layers', (value) => {
    layers.value = value;
    choice.value = viewer.choice;
  });
  /** How the picture is doing; `undefined` while none is shown. */
  const stats = shallowRef<ViewerStats>();
  const look = setInterval(async () => {
    stats.value = status.value.kind === 'playing' ? await viewer.stats().catch(() => undefined) : undefined;
  }, LOOK_EVERY_MS);

  /** Asks for a layer; what was asked for before stays where that cannot be. */
  async function choose(layer: string): Promise<void> {
    choice.value = layer;
    await viewer.choose(layer).catch(() => {});
    choice.value = viewer.choice;
  }

  onScopeDispose(() => {
    clearInterval(look);
    viewer.close();
  });
  return { status, stream, layers, choice, choose, stats };
}
