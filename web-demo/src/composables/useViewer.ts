/** What the viewer of a room sees, as values. */

import { Viewer } from '@klieg/client';
import type { Room, ViewerStatus } from '@klieg/client';
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';

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
  onScopeDispose(() => viewer.close());
  return { status, stream };
}
