/** The figures of a room's audience, kept fresh while they are looked at. */

import { KliegError } from '@klieg/client';
import type { Analytics, AnalyticsMinute, RoomInfo } from '@klieg/client';
import { onScopeDispose, shallowRef, watch } from 'vue';
import { dayUntil } from './series.js';
import { api, useSession } from './useSession.js';

/** As often as the server writes them down. */
const REFRESH_EVERY_MS = 15_000;

/** Reads the figures of a room's last event. */
export function useAnalytics(roomId: string) {
  const { user } = useSession();
  const info = shallowRef<RoomInfo>();
  /** `undefined` until the first answer. */
  const figures = shallowRef<Analytics>();
  const minutes = shallowRef<AnalyticsMinute[]>([]);
  /** Why the last answer did not come; what is shown is of an earlier one then. */
  const error = shallowRef<KliegError>();
  let timer: ReturnType<typeof setTimeout>;
  let latest = 0;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    const request = ++latest;
    try {
      const [room, all] = await Promise.all([api.room(roomId), api.analytics(roomId)]);
      const series = all.updatedAt === undefined ? [] : (await api.analyticsMinutes(roomId, dayUntil(all.updatedAt))).items;
      if (request !== latest) return;
      info.value = room;
      figures.value = all;
      minutes.value = series;
      error.value = undefined;
    } catch (thrown) {
      if (request !== latest) return;
      error.value = KliegError.from(thrown);
    }
    if (!document.hidden) timer = setTimeout(() => void refresh(), REFRESH_EVERY_MS);
  }

  const handleVisibility = () => {
    if (!document.hidden) void refresh();
  };
  document.addEventListener('visibilitychange', handleVisibility);
  watch(() => user.value?.id, () => {
    figures.value = undefined;
    void refresh();
  });
  onScopeDispose(() => {
    latest++;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', handleVisibility);
  });

  void refresh();
  return { info, figures, minutes, error, refresh };
}
