/** The picture in a small window of its own, over other programs, where the browser has that (Picture-in-Picture). */

import { onScopeDispose, ref, watch } from 'vue';
import type { Ref } from 'vue';

export function useFloating(video: Ref<HTMLVideoElement | null>) {
  /** Whether there is such a window to be had. */
  const offered = document.pictureInPictureEnabled === true && 'requestPictureInPicture' in HTMLVideoElement.prototype;
  /** Whether the picture is in it. */
  const floating = ref(false);

  const handleEnter = () => { floating.value = true; };
  const handleLeave = () => { floating.value = false; };
  watch(video, (element) => {
    element?.addEventListener('enterpictureinpicture', handleEnter);
    element?.addEventListener('leavepictureinpicture', handleLeave);
  });
  onScopeDispose(() => void sink());

  /** Refused before there is a picture, and where the visitor has forbidden it: then nothing changes. */
  async function toggleFloating(): Promise<void> {
    if (floating.value) await sink();
    else await video.value?.requestPictureInPicture().catch(() => {});
  }

  async function sink(): Promise<void> {
    if (floating.value) await document.exitPictureInPicture().catch(() => {});
  }

  return { offered, floating, toggleFloating, sink };
}
