import type { PublisherState, ViewerStats } from '@klieg/client';
import { expect, test } from 'vitest';
import { KeyframeGaps, findingsOf } from './encoder.js';
import type { Watched } from './encoder.js';

const arrived: PublisherState = { state: 'live', audio: true, video: true, audioMuted: false, videoMuted: false, videoCodec: 'h264' };
const stats: ViewerStats = {
  bitrateBps: 2_500_000, framesPerSecond: 30, framesDecoded: 900, keyFramesDecoded: 15, width: 1280, height: 720, codec: 'H264', roundTripMs: 20, latencyMs: 200, jitterBufferMs: 20, packetsLost: 0, freezes: 0, audioEnergy: 1,
};
const watched: Watched = { unplayable: false, stats, sinceMs: 30_000, keyframeGapMs: 2_100, layers: 1 };

test('of a well set encoder there is nothing to say', () => {
  expect(findingsOf(arrived, undefined)).toEqual([]);
  expect(findingsOf(arrived, watched)).toEqual([]);
});

test('what the server tells is said before anybody looks', () => {
  expect(findingsOf({ ...arrived, audio: false }, undefined)).toEqual(['noSound']);
  expect(findingsOf({ ...arrived, video: false }, undefined)).toEqual(['noPicture']);
  expect(findingsOf({ ...arrived, videoCodec: 'av1' }, undefined)).toEqual(['rareCodec']);
});

test('each setting that harms viewers is found', () => {
  const of = (change: Partial<Watched>, changed: Partial<ViewerStats> = {}) => findingsOf(arrived, { ...watched, stats: { ...stats, ...changed }, ...change });
  expect(of({ keyframeGapMs: 8_000 })).toEqual(['keyframes']);
  expect(of({}, { framesPerSecond: 12 })).toEqual(['frameRate']);
  expect(of({}, { bitrateBps: 9_000_000 })).toEqual(['bitrate']);
  expect(of({ layers: 3 }, { bitrateBps: 9_000_000 }), 'viewers may get a lower one').toEqual([]);
  expect(of({}, { freezes: 3 })).toEqual(['stumbles']);
  expect(of({ unplayable: true, stats: undefined }), 'it is said once').toEqual(['unplayable']);
  expect(of({ sinceMs: 1_000 }, { framesPerSecond: 3, bitrateBps: 9_000_000 }), 'a beginning is no reason').toEqual([]);
});

test('the longest time without a keyframe is kept, and grows while none comes', () => {
  const gaps = new KeyframeGaps();
  expect(gaps.sample(1_000, 0)).toBe(0);
  expect(gaps.sample(2_000, 1)).toBe(0);
  expect(gaps.sample(4_000, 2)).toBe(2_000);
  expect(gaps.sample(9_000, 2)).toBe(5_000);
  expect(gaps.sample(10_000, 3)).toBe(6_000);
  expect(gaps.sample(11_000, 4)).toBe(6_000);
});
