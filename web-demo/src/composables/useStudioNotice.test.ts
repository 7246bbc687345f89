import type { PublisherState, RoomStats } from '@klieg/client';
import { expect, test } from 'vitest';
import { ref, shallowRef } from 'vue';
import { noticeOf, useStudioNotice } from './useStudioNotice.js';

const none: PublisherState = { state: 'none', audio: false, video: false, audioMuted: false, videoMuted: false };
const live: PublisherState = { ...none, state: 'live', audio: true, video: true };

test('a host reads who publishes or waits', () => {
  expect(noticeOf(undefined, 0, true)).toBeUndefined();
  expect(noticeOf(none, 0, true)).toBeUndefined();
  expect(noticeOf(none, 1, true)?.heading).toBe('1 viewer is waiting for you.');
  expect(noticeOf(live, 5, true)?.kind).toBe('elsewhere');
  expect(noticeOf({ ...none, state: 'interrupted' }, 2, true)?.heading).toBe('The picture was lost. 2 viewers are waiting for it.');
});

test('who may publish in a room of somebody else is not told that they take over, whoever publishes', () => {
  expect(noticeOf(live, 5, true)?.lead).toBe('If that is you, going live here takes over, and stops it there.');
  expect(noticeOf(live, 5, false)?.lead).toContain('If it is somebody else, you can go live when they have stopped.');
});

test('a page that has just stopped does not take itself for another', () => {
  const publisher = shallowRef<PublisherState | undefined>(none);
  const stats = shallowRef<RoomStats | undefined>({ viewerCount: 3, likes: 0, peak: 3 });
  const idle = ref(true);
  const notice = useStudioNotice(publisher, stats, idle, ref(true));
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
