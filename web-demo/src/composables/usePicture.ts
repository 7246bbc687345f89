/** Where an image finds a room's picture. */

import type { RoomInfo } from '@klieg/client';
import { onScopeDispose, shallowRef, watch } from 'vue';
import type { ShallowRef } from 'vue';
import { api } from './useSession.js';

/** What to show: the address of a picture, and who may see the room that it is of. */
export interface Wanted {
  url: string;
  visibility: RoomInfo['visibility'];
}

/**
 * Gives the address that an image takes. An image shows no token, so the picture of a private room is fetched with the visitor's and
 * kept here; the one before stays until then. `undefined` while there is none.
 */
export function usePicture(wanted: () => Wanted | undefined): Readonly<ShallowRef<string | undefined>> {
  const source = shallowRef<string>();
  /** The address of what was fetched; empty where nothing was. */
  let held = '';
  let isGone = false;

  function show(address: string | undefined, fetched = ''): void {
    const before = held;
    held = fetched;
    source.value = address;
    if (before !== '') URL.revokeObjectURL(before);
  }

  async function fetchPicture(url: string): Promise<void> {
    // A picture that cannot be had is as good as none.
    const picture = await api.thumbnail(url).catch(() => undefined);
    if (isGone || wanted()?.url !== url) return;
    const fetched = picture === undefined ? '' : URL.createObjectURL(picture);
    show(fetched || undefined, fetched);
  }

  watch(() => [wanted()?.url, wanted()?.visibility] as const, ([url, visibility]) => {
    if (url !== undefined && visibility === 'private') void fetchPicture(url);
    else show(url);
  }, { immediate: true });
  onScopeDispose(() => {
    isGone = true;
    show(undefined);
  });
  return source;
}
