/** Joins by the dozen: what is published for them, one of them inside a page, and what is told of all. */

import { expect } from 'vitest';
import { until } from './browsers.js';
import type { Tab } from './browsers.js';

declare global {
  interface Window {
    /** What a page publishes for joins, and the timers that keep it going. */
    kliegClock: { peer: RTCPeerConnection; timers: ReturnType<typeof setInterval>[] } | undefined;
  }
}

/** Longer nobody waits for a picture: it is black. */
export const BLACK_AFTER_MS = 5_000;
/** How long a join is watched where it is to be seen when it is live. */
export const WATCHED_MS = 3_000;
/** What seems to be older could not be looked at. */
const OLDEST_S = 60;
/** A picture that is no more than this older than later ones is live. */
const LIVE_WITHIN_MS = 60;

/** What a page publishes: by WHIP, with a keyframe each so many seconds of its own accord. */
export interface Clock {
  room: string;
  key: string;
  seconds: number;
}

/** What one join saw; times in milliseconds since the request. */
export interface Join {
  /** The first frame; `null`: none came. */
  firstMs: number | null;
  /** When each frame was shown, and how old it was. */
  shown: [atMs: number, ageMs: number][];
}

/** Publishes sound, and a picture that says in its upper edge when it was drawn, in 24 squares, the highest bit first. */
export async function publishClock(given: string): Promise<void> {
  const { room, key, seconds } = JSON.parse(given) as Clock;
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const brush = canvas.getContext('2d')!;
  const draw = () => {
    brush.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 40%)`;
    brush.fillRect(Math.random() * 600, 40 + Math.random() * 300, 40, 40);
    const now = Date.now();
    for (let bit = 0; bit < 24; bit++) {
      brush.fillStyle = now >>> (23 - bit) & 1 ? '#fff' : '#000';
      brush.fillRect(bit * 24, 0, 24, 24);
    }
  };
  const [drawing] = canvas.captureStream(30).getVideoTracks();
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  const peer = new RTCPeerConnection();
  peer.addTransceiver(sound.getAudioTracks()[0]!, { direction: 'sendonly' });
  const { sender } = peer.addTransceiver(drawing!, { direction: 'sendonly', sendEncodings: [{ maxBitrate: 500_000 }] });
  await peer.setLocalDescription();
  const headers = { 'content-type': 'application/sdp', 'authorization': `Bearer ${key}` };
  const answer = await fetch(`/whip/${room}`, { method: 'POST', headers, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const begin = () => {
    const parameters = sender.getParameters();
    const options = { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) };
    void (sender.setParameters as (parameters: RTCRtpSendParameters, options: object) => Promise<void>).call(sender, parameters, options);
  };
  window.kliegClock = { peer, timers: [setInterval(draw, 1000 / 30), setInterval(begin, seconds * 1000)] };
}

/** How many keyframes the page has sent, and how many it was asked for. */
export async function keyframes(): Promise<{ sent: number; asked: number }> {
  const report = await window.kliegClock!.peer.getStats() as unknown as Map<string, Record<string, unknown>>;
  const video = [...report.values()].find((entry) => entry['type'] === 'outbound-rtp' && entry['kind'] === 'video');
  const number = (name: string) => Number(video?.[name] ?? 0);
  return { sent: number('keyFramesEncoded'), asked: number('pliCount') + number('firCount') };
}

export function stopClock(): void {
  for (const timer of window.kliegClock?.timers ?? []) clearInterval(timer);
  window.kliegClock?.peer.close();
}

/** Watches by WHEP from a page that is there already, until its first frame and so long after it. */
export async function join(given: string): Promise<Join> {
  const { room, watchedMs, blackAfterMs } = JSON.parse(given) as { room: string; watchedMs: number; blackAfterMs: number };
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true, playsInline: true });
  Object.assign(video.style, { position: 'fixed', inset: '0', zIndex: '9', width: '640px' });
  document.body.append(video);
  const peer = new RTCPeerConnection();
  const receivers = ['audio', 'video'].map((kind) => peer.addTransceiver(kind, { direction: 'recvonly' }).receiver);
  video.srcObject = new MediaStream(receivers.map(({ track }) => track));
  const strip = Object.assign(document.createElement('canvas'), { width: 24, height: 1 });
  const brush = strip.getContext('2d', { willReadFrequently: true })!;
  const ageOfPicture = () => {
    brush.drawImage(video, 0, 0, 576 * video.videoWidth / 640, 24 * video.videoHeight / 360, 0, 0, 24, 1);
    const { data } = brush.getImageData(0, 0, 24, 1);
    const drawn = Array.from({ length: 24 }, (_, bit) => data[bit * 4]! > 127 ? 1 << (23 - bit) : 0).reduce((sum, bit) => sum + bit);
    return (Date.now() - drawn) & 0xffffff;
  };
  await peer.setLocalDescription();
  const seen: Join = { firstMs: null, shown: [] };
  const began = performance.now();
  const first = new Promise<void>((resolve) => {
    const show = () => {
      const atMs = performance.now() - began;
      const ageMs = ageOfPicture();
      seen.firstMs ??= atMs;
      seen.shown.push([atMs, ageMs]);
      video.requestVideoFrameCallback(show);
      resolve();
    };
    video.requestVideoFrameCallback(show);
  });
  const answer = await fetch(`/whep/${room}`, { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  await Promise.race([first, wait(blackAfterMs)]);
  if (seen.firstMs !== null) await wait(watchedMs);
  peer.close();
  video.remove();
  await fetch(answer.headers.get('location')!, { method: 'DELETE' });
  return seen;
}

/** Waits until a page that publishes has sent so many keyframes, so that the server has one that nobody asked for. */
export async function sendsKeyframes(host: Tab, wanted: number): Promise<void> {
  await until(`${host.name} sends keyframes`, () => host.look(keyframes), ({ sent }) => sent >= wanted, 60_000);
}

/** Joins one after the other, at ever other distances from the last keyframe. */
async function joinAll(viewer: Tab, room: string, count: number, watchedMs: number): Promise<Join[]> {
  const joins: Join[] = [];
  for (let index = 0; index < count; index++) {
    await new Promise((resolve) => setTimeout(resolve, index * 130 % 700));
    joins.push(await viewer.look(join, JSON.stringify({ room, watchedMs, blackAfterMs: BLACK_AFTER_MS })));
  }
  return joins;
}

/** What many joins come to, as it is printed. */
export interface Summary {
  joins: number;
  black: number;
  firstP50: number;
  firstP99: number;
  /** From the first frame until the picture is no older than later on. */
  liveP50?: number;
  liveP99?: number;
  /** How old the first frames were: where the joins stood between two keyframes. */
  keyframes: string;
}

function summary(joins: Join[]): Summary {
  const seen = joins.filter((join): join is Join & { firstMs: number } => join.firstMs !== null);
  const first = sorted(seen.map(({ firstMs }) => firstMs));
  const live = sorted(seen.map(liveAfter).filter((ms) => ms !== undefined));
  // In Chromium the first one can be seen by visitors, and not always be looked at by a page.
  const ages = sorted(seen.flatMap(({ shown }) => shown.map(([, ageMs]) => ageMs / 1000).find((age) => age < OLDEST_S) ?? []));
  return {
    joins: joins.length,
    black: joins.length - seen.length,
    firstP50: share(first, 0.5),
    firstP99: share(first, 0.99),
    ...live.length > 0 && { liveP50: share(live, 0.5), liveP99: share(live, 0.99) },
    keyframes: `${ages[0]?.toFixed(1)} to ${ages.at(-1)?.toFixed(1)} s old`,
  };
}

/** How long after its first frame a join is live; `undefined` where it was not watched. */
function liveAfter({ firstMs, shown }: Join & { firstMs: number }): number | undefined {
  const usual = sorted(shown.filter(([atMs]) => atMs > firstMs + WATCHED_MS / 2).map(([, ageMs]) => ageMs));
  if (usual.length === 0) return undefined;
  const live = shown.find(([, ageMs]) => ageMs <= share(usual, 0.5) + LIVE_WITHIN_MS);
  return live === undefined ? Infinity : live[0] - firstMs;
}

function sorted(numbers: number[]): number[] {
  return numbers.toSorted((one, other) => one - other);
}

/** The number that so many of the others are not above; of few the highest. */
function share(ascending: number[], part: number): number {
  return Math.round(ascending[Math.min(ascending.length - 1, Math.ceil(ascending.length * part) - 1)] ?? NaN);
}

/** Counts of the server that joins may move. */
interface Counts {
  fromCache: number;
  byRequest: number;
  requested: number;
}

/** Reads them out of what the server shows at `/metrics`. */
function counts(metrics: string): Counts {
  const total = (name: string) => Number(new RegExp(`^klieg_sfu_${name}_total (\\d+)`, 'm').exec(metrics)?.[1]);
  return { fromCache: total('joins_from_cache'), byRequest: total('joins_by_request'), requested: total('keyframes_requested') };
}

/**
 * Joins so often, and checks that every join had a picture out of the cache and that the publisher was asked for nothing, as both ends count. `metrics`
 * reads what the server shows.
 */
export async function joinFromCache(
  [viewer, host]: [Tab, Tab], { room, count, watchedMs }: { room: string; count: number; watchedMs: number }, metrics: () => Promise<string>, print: (told: Summary) => void,
): Promise<void> {
  const now = async () => counts(await metrics());
  // The first one warms the page up.
  await joinAll(viewer, room, 1, 0);
  await until('that is counted', now, ({ fromCache }) => fromCache > 0);
  const [before, { asked }] = [await now(), await host.look(keyframes)];
  const told = summary(await joinAll(viewer, room, count, watchedMs));
  print(told);
  expect(told.black, 'joins without a picture').toBe(0);
  const after = await until('joins served from the cache', now, ({ fromCache }) => fromCache - before.fromCache >= count, 5_000);
  expect(after.byRequest - before.byRequest, 'joins that needed a new keyframe').toBe(0);
  expect(after.requested - before.requested, 'keyframes that the server asked for').toBe(0);
  expect((await host.look(keyframes)).asked - asked, 'requests that the publisher counts').toBe(0);
  expect(viewer.errors).toEqual([]);
}
