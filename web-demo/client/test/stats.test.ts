import { expect, test } from 'vitest';
import { PictureAge, RateMeter, publisherStats, reception, viewerStats } from '../src/stats.js';

function report(...entries: { id: string; type: string; timestamp?: number; [field: string]: unknown }[]): Map<string, unknown> {
  return new Map(entries.map((entry) => [entry.id, { timestamp: 1000, ...entry }]));
}

test('a rate needs two readings, and none is made up when the counter began anew', () => {
  const meter = new RateMeter();
  expect(meter.read(1000, 1000)).toBeUndefined();
  expect(meter.read(126_000, 2000)).toBe(1_000_000);
  expect(meter.read(10, 3000)).toBeUndefined();
  expect(meter.read(135, 4000)).toBe(1000);
  expect(meter.read(135, 4000)).toBeUndefined();
});

test('a viewer reads size, codec, round trip and sound', () => {
  const stats = viewerStats(report(
    { id: 'v', type: 'inbound-rtp', kind: 'video', codecId: 'c', framesDecoded: 120, keyFramesDecoded: 2, frameWidth: 640, frameHeight: 360, framesPerSecond: 30, jitterBufferDelay: 2, jitterBufferEmittedCount: 100, packetsLost: 1, freezeCount: 0, bytesReceived: 5 },
    { id: 'a', type: 'inbound-rtp', kind: 'audio', totalAudioEnergy: 0.25, packetsLost: 2, bytesReceived: 5 },
    { id: 'c', type: 'codec', mimeType: 'video/VP8' },
    { id: 'old', type: 'candidate-pair', nominated: false, state: 'failed', currentRoundTripTime: 9 },
    { id: 'p', type: 'candidate-pair', nominated: true, state: 'succeeded', currentRoundTripTime: 0.05 },
  ), new RateMeter());
  expect(stats).toMatchObject({
    framesDecoded: 120, keyFramesDecoded: 2, width: 640, height: 360, codec: 'VP8', roundTripMs: 50, jitterBufferMs: 20, packetsLost: 3, audioEnergy: 0.25,
  });
});

test('the picture is as old as the server and the browser say together', () => {
  const shown = { id: 'v', type: 'inbound-rtp', kind: 'video', estimatedPlayoutTimestamp: 2_208_988_800_000 + 1_000_000 };
  const latency = (serverNow?: number) => viewerStats(report(shown), new RateMeter(), serverNow).latencyMs;
  expect(latency(1_000_250)).toBe(250);
  expect(latency()).toBeUndefined();
  // The clock was set meanwhile, or the publisher tells no time.
  expect(latency(1_000_000 + 3_600_000)).toBeUndefined();
  expect(latency(999_000)).toBeUndefined();
  expect(viewerStats(report({ ...shown, estimatedPlayoutTimestamp: undefined }), new RateMeter(), 1_000_250).latencyMs).toBeUndefined();
});

test('a publisher with layers shows the largest', () => {
  const stats = publisherStats(report(
    { id: 'l', type: 'outbound-rtp', kind: 'video', frameWidth: 320, bytesSent: 1 },
    { id: 'h', type: 'outbound-rtp', kind: 'video', frameWidth: 1280, frameHeight: 720, qualityLimitationReason: 'cpu', bytesSent: 1 },
    { id: 'r', type: 'remote-inbound-rtp', kind: 'video', roundTripTime: 0.02, fractionLost: 0.1 },
    { id: 'p', type: 'candidate-pair', nominated: true, state: 'succeeded', availableOutgoingBitrate: 3_000_000 },
  ), new RateMeter());
  expect(stats).toMatchObject({ width: 1280, limitedBy: 'cpu', roundTripMs: 20, lossRatio: 0.1, availableBps: 3_000_000 });
});

test('an empty report is all zeros', () => {
  expect(viewerStats(report(), new RateMeter())).toMatchObject({ framesDecoded: 0, codec: undefined, bitrateBps: undefined });
  expect(publisherStats(report(), new RateMeter())).toMatchObject({ framesSent: 0, limitedBy: 'none', availableBps: undefined });
});

test('what is told to the server is whole numbers, and no age where none is known', () => {
  const video = { id: 'v', type: 'inbound-rtp', kind: 'video', framesDecoded: 120, freezeCount: 2, totalFreezesDuration: 0.7504 };
  expect(reception(report(video))).toEqual({ framesDecoded: 120, stalls: 2, stalledMs: 750 });
  const shown = { ...video, estimatedPlayoutTimestamp: 2_208_988_800_000 + 1_000_000 };
  expect(reception(report(shown), 1_000_250.4)).toEqual({ framesDecoded: 120, stalls: 2, stalledMs: 750, latencyMs: 250 });
  // What the browser tells counts more than what is made of it.
  expect(reception(report(shown), 1_000_250.4, undefined, 90.2)).toMatchObject({ latencyMs: 250 });
  expect(reception(report(video), 1_000_250.4, undefined, 90.2)).toMatchObject({ latencyMs: 90 });
  expect(reception(report())).toEqual({ framesDecoded: 0, stalls: 0, stalledMs: 0 });
  expect(reception(report(video), undefined, 8_000.4)).toEqual({ framesDecoded: 120, stalls: 3, stalledMs: 8_751 });
});

test('a picture whose age the browser does not tell was on its way, and waited since the last reading', () => {
  const age = new PictureAge();
  const read = (frames: number, waitedSec: number, more = {}) =>
    age.read(report({ id: 'v', type: 'inbound-rtp', kind: 'video', jitterBufferEmittedCount: frames, jitterBufferDelay: waitedSec, ...more }), 1_000_000, 80);
  expect(read(100, 100)).toBeCloseTo(1040);
  expect(read(110, 105)).toBeCloseTo(540);
  expect(read(110, 105)).toBeUndefined();
  expect(read(120, 106, { estimatedPlayoutTimestamp: 2_208_988_800_000 + 999_700 })).toBe(300);
  expect(read(130, 108)).toBeCloseTo(240);
});
