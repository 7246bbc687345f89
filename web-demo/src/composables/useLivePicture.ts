/** What the lobby shows of a room whose video the server cannot make pictures of: the studio sends them. */

import type { PublisherStats } from '@klieg/client';
import { onScopeDispose, watch } from 'vue';
import type { Ref } from 'vue';
import { frameOf } from './picture.js';
import { api } from './useSession.js';

const SEND_EVERY_MS = 30_000;
/** Keyframes of it are pictures by themselves. */
const MADE_BY_SERVER = 'VP8';

/** Sends what viewers see, for as long as it is on air and in another format than the server makes pictures of. */
export function useLivePicture(roomId: string, stats: Ref<PublisherStats | undefined>, sent: Ref<MediaStream | undefined>, owns: Ref<boolean>): void {
  let timer: ReturnType<typeof setInterval> | undefined;

  async function send(): Promise<void> {
    const [track] = sent.value?.getVideoTracks() ?? [];
    try {
      const picture = track && await frameOf(track);
      // It may have ended meanwhile.
      if (picture !== undefined && timer !== undefined) await api.sendThumbnail(roomId, picture, true);
    } catch {
      // The next one is due soon, and nobody on this page looks at it.
    }
  }

  const end = () => {
    clearInterval(timer);
    timer = undefined;
  };
  const needed = () => owns.value && stats.value?.codec !== undefined && stats.value.codec !== MADE_BY_SERVER;
  watch(needed, (now) => {
    end();
    if (!now) return;
    timer = setInterval(() => void send(), SEND_EVERY_MS);
    void send();
  });
  onScopeDispose(end);
}
