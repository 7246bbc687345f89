/** What the keyboard's media keys, the lock screen and the browser's own controls say and do (Media Session). */

import type { RoomInfo } from '@klieg/client';
import { onScopeDispose, watchEffect } from 'vue';
import type { Ref } from 'vue';
import { messages as t } from '../messages/index.js';

/** What can be pressed there. */
type Actions = Readonly<Record<'play' | 'pause' | 'stop', () => void>>;

/** Tells the browser what is on while `state` is not `none`. */
export function useMediaSession(info: Ref<RoomInfo | undefined>, state: Ref<MediaSessionPlaybackState>, actions: Actions): void {
  const media = (navigator as Partial<Navigator>).mediaSession;
  if (media === undefined) return;
  const names = Object.keys(actions) as (keyof typeof actions)[];

  watchEffect(() => {
    const shown = state.value === 'none' ? undefined : info.value;
    media.metadata = shown === undefined ? null : metadataOf(shown);
    media.playbackState = state.value;
    for (const name of names) handle(media, name, shown === undefined ? null : actions[name]);
  });
  onScopeDispose(() => {
    media.metadata = null;
    media.playbackState = 'none';
    for (const name of names) handle(media, name, null);
  });
}

function metadataOf({ title, owner, hostAvatarUrl }: RoomInfo): MediaMetadata {
  const artwork = hostAvatarUrl === undefined ? { src: '/icon-512.png', sizes: '512x512', type: 'image/png' } : { src: hostAvatarUrl };
  return new MediaMetadata({ title, artist: owner.name, album: t.name, artwork: [artwork] });
}

function handle(media: MediaSession, name: MediaSessionAction, act: (() => void) | null): void {
  try {
    media.setActionHandler(name, act);
  } catch {
    // A browser that does not know the key.
  }
}
