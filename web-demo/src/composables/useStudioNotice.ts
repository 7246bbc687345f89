/** What a host should know about the room before going live in it. */

import type { PublisherState, RoomStats } from '@klieg/client';
import { computed, ref, watch } from 'vue';
import type { Ref } from 'vue';
import { messages as t } from '../messages/index.js';

/** A sentence and what follows from it. */
export interface Notice {
  kind: 'elsewhere' | 'held' | 'waiting';
  heading: string;
  lead: string;
}

/** Says who publishes or waits in the room while this page is `idle`, and nothing otherwise. */
export function useStudioNotice(
  publisher: Readonly<Ref<PublisherState | undefined>>, stats: Readonly<Ref<RoomStats | undefined>>, idle: Readonly<Ref<boolean>>,
) {
  /** The page has just stopped, and the room has not heard of it: the publisher is this page itself. */
  const leaving = ref(false);
  watch(idle, (now) => { leaving.value = now && publisher.value?.state === 'live'; }, { flush: 'sync' });
  watch(publisher, (state) => {
    if (state?.state !== 'live') leaving.value = false;
  }, { flush: 'sync' });
  return computed(() => idle.value && !leaving.value ? noticeOf(publisher.value, stats.value?.viewerCount ?? 0) : undefined);
}

/** Words the state of a room that nobody publishes into from here. The server does not tell who does. */
export function noticeOf(publisher: PublisherState | undefined, viewers: number): Notice | undefined {
  if (publisher?.state === 'live') return { kind: 'elsewhere', heading: t.studio.elsewhere, lead: t.studio.elsewhereLead };
  if (publisher?.state === 'interrupted') return { kind: 'held', heading: t.studio.held(viewers), lead: t.studio.heldLead };
  if (viewers > 0) return { kind: 'waiting', heading: t.studio.waiting(viewers), lead: t.studio.waitingLead };
  return undefined;
}
