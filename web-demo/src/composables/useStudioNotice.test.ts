import type { PublisherState, RoomStats } from '@klieg/client';
import { expect, test } from 'vitest';
import { ref, shallowRef } from 'vue';
import { noticeOf, useStudioNotice } from './useStudioNotice.js';

const none: PublisherState = { state: 'none', audio: false, video: false, audioMuted: false, videoMuted: false };
const live: PublisherState = { ...none, state: 'live', audio: true, video: true };

test('a host reads who publishes or waits', () => {
  expect(noticeOf(undefined, 0)).toBeUndefined();
  expect(noticeOf(none, 0)).toBeUndefined();
  expect(noticeOf(none, 1)?.heading).toBe('1 viewer is waiting for you.');
  expect(noticeOf(live, 5)).toMatchObject({ kind: 'elsewhere', lead: expect.stringContaining('takes over') });
  expect(noticeOf({ ...none, state: 'interrupted' }, 2)?.heading).toBe('The picture was lost. 2 viewers are waiting for it.');
});

test('a page that has just stopped does not take itself for another', () => {
  const publisher = shallowRef<PublisherState | undefined>(none);
  const stats = shallowRef<RoomStats | undefined>({ viewerCount: 3, likes: 0, peak: 3 });
  const idle = ref(true);
  const notice = useStudioNotice(publisher, stats, idle);
  expect(notice.value?.kind).toBe('waiting');
  idle.value = false;
  publisher.value = live;
  expect(notice.value).toBeUndefined();
  idle.value = true;
  expect(notice.value).toBeUndefined();
  publisher.value = none;
  expect(notice.value?.kind).toBe('waiting');
  publisher.value = live;
  expect(notice.value?.kind).toBe('elsewhere');
});
