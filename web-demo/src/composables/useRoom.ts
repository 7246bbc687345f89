/** A room as values that a page can show. */

import { Room } from '@klieg/client';
import type { Connection, JoinToken, KliegError, PublisherState, RoomInfo, RoomStats, You } from '@klieg/client';
import { onScopeDispose, ref, shallowRef, watch } from 'vue';
import { api, session, useSession } from './useSession.js';

/** Joins a room for as long as the page is open, as whoever is signed in. */
export function useRoom(roomId: string) {
  const { user } = useSession();
  const connection = ref<Connection>('idle');
  const error = shallowRef<KliegError>();
  const info = shallowRef<RoomInfo>();
  const publisher = shallowRef<PublisherState>();
  const stats = shallowRef<RoomStats>();
  const you = shallowRef<You>();

  /** The token shown last; `undefined` for a guest. */
  let shown: string | undefined;
  /** One guest over all connections: the server knows a line sent again by who sent it. */
  let guest: Promise<JoinToken> | undefined;

  const room = new Room({
    url: api.socketUrl,
    roomId,
    async token(renew) {
      // Where the server takes the sign-in no more, the visitor goes on as a guest.
      shown = await session.token(renew ? shown : undefined);
      if (shown !== undefined) return shown;
      if (renew) guest = undefined;
      guest ??= api.join(roomId);
      guest.catch(() => { guest = undefined; });
      return (await guest).token;
    },
  });
  room.on('connection', (change) => {
    connection.value = change.connection;
    error.value = change.error;
  });
  room.on('you', (value) => { you.value = value; });
  room.on('info', (value) => { info.value = value; });
  room.on('publisher', (value) => { publisher.value = value; });
  room.on('stats', (value) => { stats.value = value; });

  watch(() => user.value?.id, () => room.rejoin());

  const handleNetwork = () => room.retryNow();
  const handleVisibility = () => {
    if (!document.hidden) room.retryNow();
  };
  window.addEventListener('online', handleNetwork);
  document.addEventListener('visibilitychange', handleVisibility);
  onScopeDispose(() => {
    window.removeEventListener('online', handleNetwork);
    document.removeEventListener('visibilitychange', handleVisibility);
    room.close();
  });

  return { room, connection, error, info, publisher, stats, you };
}
