/** Reads the few numbers that people understand out of `getStats` (webrtc-stats). */

import type { Repairs } from './playout.js';
import type { Reception } from './protocol.js';

/** What a viewer receives. */
export interface ViewerStats {
  /** `undefined` in the first reading: a rate needs two. */
  bitrateBps: number | undefined;
  framesPerSecond: number;
  framesDecoded: number;
  keyFramesDecoded: number;
  width: number;
  height: number;
  /** Such as `VP8`; `undefined` until something came. */
  codec: string | undefined;
  roundTripMs: number | undefined;
  /**
   * How old the picture is that is shown: from its capture, by the server's clock, until now. The way from the publisher to the server is not in it.
   * Where the browser does not tell that (Firefox; Chromium without sound), a viewer's is its way from the server and its wait here. `undefined` where
   * neither is known.
   */
  latencyMs: number | undefined;
  /** Mean wait of a frame before it is shown. */
  jitterBufferMs: number | undefined;
  packetsLost: number;
  freezes: number;
  /** Rises while sound is heard. */
  audioEnergy: number;
}

/** What a publisher sends. */
export interface PublisherStats {
  bitrateBps: number | undefined;
  framesPerSecond: number;
  framesSent: number;
  width: number;
  height: number;
  codec: string | undefined;
  roundTripMs: number | undefined;
  /** Share of packets that did not arrive, 0 to 1. */
  lossRatio: number | undefined;
  /** What the browser expects the way to the server to carry, by what it sent so far; `undefined` where it does not tell, as Firefox. */
  availableBps: number | undefined;
  /** What holds the picture back. */
  limitedBy: 'none' | 'cpu' | 'bandwidth' | 'other';
}

/** A member of a report; which fields it has depends on its type and the browser. */
type Entry = { type: string; id: string; timestamp: number } & Record<string, unknown>;

/** Turns counters into a rate, from one reading to the next. */
export class RateMeter {
  #bytes: number | undefined;
  #timestamp = 0;

  /** Returns bits a second since the last call; a counter that fell began anew. */
  read(bytes: number, timestamp: number): number | undefined {
    const before = this.#bytes;
    const elapsed = timestamp - this.#timestamp;
    if (before !== undefined && elapsed <= 0) return undefined;
    this.#bytes = bytes;
    this.#timestamp = timestamp;
    return before === undefined || bytes < before ? undefined : ((bytes - before) * 8000) / elapsed;
  }
}

/** From the beginning of NTP's time to that of JavaScript's. */
const SINCE_1900_MS = 2_208_988_800_000;
/** More than that is no latency: a clock was set. */
const MAX_LATENCY_MS = 60_000;

/** Summarises a viewer's report. `serverNow` is what the server's clock says. */
export function viewerStats(report: Iterable<readonly [string, unknown]>, meter: RateMeter, serverNow?: number): ViewerStats {
  const entries = read(report);
  const video = entries.find((entry) => entry.type === 'inbound-rtp' && entry['kind'] === 'video');
  const audio = entries.find((entry) => entry.type === 'inbound-rtp' && entry['kind'] === 'audio');
  const timestamp = video?.timestamp ?? audio?.timestamp ?? 0;
  const emitted = number(video?.['jitterBufferEmittedCount']);
  return {
    bitrateBps: meter.read(number(video?.['bytesReceived']) + number(audio?.['bytesReceived']), timestamp),
    framesPerSecond: number(video?.['framesPerSecond']),
    framesDecoded: number(video?.['framesDecoded']),
    keyFramesDecoded: number(video?.['keyFramesDecoded']),
    width: number(video?.['frameWidth']),
    height: number(video?.['frameHeight']),
    codec: codecOf(entries, video),
    roundTripMs: milliseconds(activePair(entries)?.['currentRoundTripTime']),
    latencyMs: latency(video?.['estimatedPlayoutTimestamp'], serverNow),
    jitterBufferMs: emitted > 0 ? (number(video?.['jitterBufferDelay']) / emitted) * 1000 : undefined,
    packetsLost: number(video?.['packetsLost']) + number(audio?.['packetsLost']),
    freezes: number(video?.['freezeCount']),
    audioEnergy: number(audio?.['totalAudioEnergy']),
  };
}

/**
 * Reads what a viewer's browser counted, as the server is told it, and adds a freeze that goes on since so long. `ageMs` is how old the picture is where
 * the browser does not tell ({@link PictureAge}).
 */
export function reception(report: Iterable<readonly [string, unknown]>, serverNow?: number, frozenMs?: number, ageMs?: number): Reception {
  const video = read(report).find((entry) => entry.type === 'inbound-rtp' && entry['kind'] === 'video');
  const latencyMs = latency(video?.['estimatedPlayoutTimestamp'], serverNow) ?? ageMs;
  return {
    framesDecoded: number(video?.['framesDecoded']),
    stalls: number(video?.['freezeCount']) + (frozenMs === undefined ? 0 : 1),
    stalledMs: Math.round(number(video?.['totalFreezesDuration']) * 1000 + (frozenMs ?? 0)),
    ...(latencyMs === undefined ? {} : { latencyMs: Math.round(latencyMs) }),
  };
}

/** Tells how old the picture is that is shown, from one reading to the next; as `ViewerStats.latencyMs`, and where browsers do not tell. */
export class PictureAge {
  #frames = 0;
  #waitedSec = 0;

  /** Returns milliseconds; `undefined` where nothing was shown since the last reading. */
  read(report: Iterable<readonly [string, unknown]>, serverNow: number | undefined, roundTripMs: number | undefined): number | undefined {
    const video = read(report).find((entry) => entry.type === 'inbound-rtp' && entry['kind'] === 'video');
    const frames = number(video?.['jitterBufferEmittedCount']) - this.#frames;
    const waitedSec = number(video?.['jitterBufferDelay']) - this.#waitedSec;
    this.#frames += frames;
    this.#waitedSec += waitedSec;
    const told = latency(video?.['estimatedPlayoutTimestamp'], serverNow);
    if (told !== undefined) return told;
    // Firefox does not tell, and Chromium not of a picture without sound: it was on its way, and waited here.
    return frames > 0 && roundTripMs !== undefined ? roundTripMs / 2 + waitedSec / frames * 1000 : undefined;
  }
}

/** Reads what a viewer's picture lost and got again. */
export function repairs(report: Iterable<readonly [string, unknown]>): Repairs {
  const entries = read(report);
  const video = entries.find((entry) => entry.type === 'inbound-rtp' && entry['kind'] === 'video');
  return {
    received: number(video?.['packetsReceived']),
    repaired: number(video?.['retransmittedPacketsReceived']),
    roundTripMs: milliseconds(activePair(entries)?.['currentRoundTripTime']),
  };
}

/** Summarises a publisher's report; with several layers, the largest one's size. */
export function publisherStats(report: Iterable<readonly [string, unknown]>, meter: RateMeter): PublisherStats {
  const entries = read(report);
  const sent = entries.filter((entry) => entry.type === 'outbound-rtp');
  const video = sent
    .filter((entry) => entry['kind'] === 'video')
    .reduce<Entry | undefined>((best, entry) => number(entry['frameWidth']) > number(best?.['frameWidth']) || best === undefined ? entry : best, undefined);
  const remote = entries.find((entry) => entry.type === 'remote-inbound-rtp' && entry['kind'] === 'video')
    ?? entries.find((entry) => entry.type === 'remote-inbound-rtp');
  const bytes = sent.reduce((sum, entry) => sum + number(entry['bytesSent']), 0);
  const limit = video?.['qualityLimitationReason'];
  const available = activePair(entries)?.['availableOutgoingBitrate'];
  return {
    bitrateBps: meter.read(bytes, sent[0]?.timestamp ?? 0),
    framesPerSecond: number(video?.['framesPerSecond']),
    framesSent: number(video?.['framesSent']),
    width: number(video?.['frameWidth']),
    height: number(video?.['frameHeight']),
    codec: codecOf(entries, video),
    roundTripMs: milliseconds(remote?.['roundTripTime'] ?? activePair(entries)?.['currentRoundTripTime']),
    lossRatio: typeof remote?.['fractionLost'] === 'number' ? remote['fractionLost'] : undefined,
    availableBps: typeof available === 'number' ? available : undefined,
    limitedBy: limit === 'cpu' || limit === 'bandwidth' || limit === 'other' ? limit : 'none',
  };
}

function read(report: Iterable<readonly [string, unknown]>): Entry[] {
  return Array.from(report, ([, entry]) => entry as Entry);
}

function codecOf(entries: Entry[], stream: Entry | undefined): string | undefined {
  const mimeType = entries.find((entry) => entry.id === stream?.['codecId'])?.['mimeType'];
  return typeof mimeType === 'string' ? mimeType.replace(/^(video|audio)\//i, '') : undefined;
}

function activePair(entries: Entry[]): Entry | undefined {
  return entries.find((entry) => entry.type === 'candidate-pair' && entry['nominated'] === true && entry['state'] === 'succeeded');
}

function latency(shown: unknown, serverNow: number | undefined): number | undefined {
  if (typeof shown !== 'number' || shown === 0 || serverNow === undefined) return undefined;
  const latencyMs = serverNow - (shown - SINCE_1900_MS);
  return latencyMs >= 0 && latencyMs <= MAX_LATENCY_MS ? latencyMs : undefined;
}

function number(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function milliseconds(seconds: unknown): number | undefined {
  return typeof seconds === 'number' ? seconds * 1000 : undefined;
}
