/** What a test can learn inside a page; each function is sent to the browser, so it uses nothing from outside itself. */

declare global {
  interface Window {
    /** Every peer connection the page made, oldest first. */
    kliegPeers: RTCPeerConnection[];
    /** Every reaction that began to float up. */
    kliegReactions: string[];
    /** Every status that a viewer was told, one after the other. */
    kliegStatuses: string[];
    /** For how long the picture stood still at most. */
    kliegLongestGapMs: number;
    /** When the picture moved last. */
    kliegShownAt: number;
    /** How often a camera was made to blur. */
    kliegBlurs: number;
    /** What the keys for media do, by the name of each. */
    kliegMediaKeys: Record<string, MediaSessionActionHandler | null>;
    /** Every camera, microphone and screen that the page opened. */
    kliegTracks: MediaStreamTrack[];
    /** When the video first played, in milliseconds since the page was asked for. */
    kliegPlayingAt: number | undefined;
    /** The layers that a player was told of last. */
    kliegLayers: ToldLayer[];
    /** Makes what the host shows light or dark. */
    kliegPaint: (light: boolean) => void;
    /** When a viewer saw the picture become light, and the product that is shown large. */
    kliegSeen: Seen;
    /** Where a player asks for another layer. */
    kliegLayerUrl: string;
  }
}

/** A layer as a WHEP player is told of it. */
export interface ToldLayer {
  rid: string;
  width: number;
  height: number;
  bitrate: number;
}

/** Runs before the page's scripts: remembers its peer connections and reactions. */
export function remember(): void {
  const Native = window.RTCPeerConnection;
  window.kliegPeers = [];
  window.kliegReactions = [];
  window.RTCPeerConnection = class extends Native {
    constructor(configuration?: RTCConfiguration) {
      // Where a test says so, the page goes by a relay alone, and by those of its URLs alone that the test means.
      const relay = sessionStorage.getItem('test-relay');
      const servers = (configuration?.iceServers ?? []).map((server) => ({
        ...server, urls: [server.urls].flat().filter((url) => new RegExp(relay ?? '').test(url)),
      }));
      super(relay === null ? configuration : {
        ...configuration, iceTransportPolicy: 'relay', iceServers: servers.filter(({ urls }) => urls.length > 0),
      });
      window.kliegPeers.push(this);
    }
  };
  window.kliegTracks = [];
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  const open = devices?.getUserMedia.bind(devices);
  if (devices !== undefined && open !== undefined) {
    devices.getUserMedia = async (constraints) => {
      const stream = await open(constraints);
      window.kliegTracks.push(...stream.getTracks());
      return stream;
    };
    const share = devices.getDisplayMedia.bind(devices);
    devices.getDisplayMedia = async (options) => {
      const stream = await share(options);
      window.kliegTracks.push(...stream.getTracks());
      return stream;
    };
  }
  // To a browser, each look of a test into a page is a touch of the visitor. A visitor who only followed a link has not touched anything.
  Object.defineProperty(navigator, 'userActivation', { value: { hasBeenActive: false, isActive: false } });
  document.addEventListener('playing', () => { window.kliegPlayingAt ??= Math.round(performance.now()); }, true);
  // No test can press them.
  window.kliegMediaKeys = {};
  const media = navigator.mediaSession as MediaSession | undefined;
  const set = media?.setActionHandler.bind(media);
  if (media !== undefined && set !== undefined) {
    media.setActionHandler = (name, handler) => {
      set(name, handler);
      window.kliegMediaKeys[name] = handler;
    };
  }
  window.kliegStatuses = [];
  new MutationObserver(() => {
    const status = document.querySelector<HTMLElement>('[data-test=status]')?.dataset['status'];
    if (status !== undefined && status !== window.kliegStatuses.at(-1)) window.kliegStatuses.push(status);
  }).observe(document, { childList: true, subtree: true, attributeFilter: ['data-status'] });
  // They are gone after two seconds, which a busy test may miss.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        if (node instanceof HTMLElement && node.dataset['test'] === 'reaction') window.kliegReactions.push(node.textContent ?? '');
      }
    }
  }).observe(document, { childList: true, subtree: true });
}

/** What the newest peer connection received. */
export interface Received {
  peers: number;
  connection: string;
  frames: number;
  width: number;
  codec: string;
  audioEnergy: number;
  /** How far the element played, in seconds. */
  played: number;
  muted: boolean;
  status: string;
}

export async function received(): Promise<Received> {
  const peer = window.kliegPeers.at(-1);
  const video = document.querySelector<HTMLVideoElement>('[data-test=video]');
  const seen: Received = {
    peers: window.kliegPeers.length,
    connection: peer?.connectionState ?? 'none',
    frames: 0,
    width: 0,
    codec: '',
    audioEnergy: 0,
    played: video?.currentTime ?? 0,
    muted: video?.muted ?? true,
    status: document.querySelector<HTMLElement>('[data-test=status]')?.dataset['status'] ?? '',
  };
  const report = new Map((peer ? await peer.getStats() : new Map()) as unknown as Map<string, Record<string, unknown>>);
  for (const entry of report.values()) {
    if (entry['type'] !== 'inbound-rtp') continue;
    if (entry['kind'] === 'audio') seen.audioEnergy = Number(entry['totalAudioEnergy'] ?? 0);
    if (entry['kind'] !== 'video') continue;
    seen.frames = Number(entry['framesDecoded'] ?? 0);
    seen.width = Number(entry['frameWidth'] ?? 0);
    seen.codec = String(report.get(String(entry['codecId']))?.['mimeType'] ?? '').replace('video/', '');
  }
  return seen;
}

/** What the newest peer connection goes by: `udp`, `tcp`, or nothing yet. */
export async function protocol(): Promise<string> {
  const report = await window.kliegPeers.at(-1)?.getStats() as unknown as Map<string, Record<string, unknown>> | undefined;
  const entries = new Map(report ?? []);
  const transport = [...entries.values()].find((entry) => entry['type'] === 'transport');
  const pair = entries.get(String(transport?.['selectedCandidatePairId']));
  return String(entries.get(String(pair?.['remoteCandidateId']))?.['protocol'] ?? '');
}

/** Where the newest peer connection sends to, and which addresses it was told. */
export async function addresses(): Promise<{ goes: string; told: string[] }> {
  const report = await window.kliegPeers.at(-1)?.getStats() as unknown as Map<string, Record<string, unknown>> | undefined;
  const entries = new Map(report ?? []);
  const transport = [...entries.values()].find((entry) => entry['type'] === 'transport');
  const pair = entries.get(String(transport?.['selectedCandidatePairId']));
  const address = (entry: Record<string, unknown> | undefined) => String(entry?.['address'] ?? '').replace(/[[\]]/g, '');
  const told = [...entries.values()].filter((entry) => entry['type'] === 'remote-candidate').map(address);
  return { goes: address(entries.get(String(pair?.['remoteCandidateId']))), told: [...new Set(told)].sort() };
}

/** By which kind of candidate of its own the newest peer connection goes, and how it reaches the relay where it is one. */
export async function way(): Promise<string> {
  const report = await window.kliegPeers.at(-1)?.getStats() as unknown as Map<string, Record<string, unknown>> | undefined;
  const entries = new Map(report ?? []);
  const transport = [...entries.values()].find((entry) => entry['type'] === 'transport');
  const pair = entries.get(String(transport?.['selectedCandidatePairId']));
  const local = entries.get(String(pair?.['localCandidateId']));
  return `${String(local?.['candidateType'])} ${String(local?.['relayProtocol'])}`;
}

/** Whether the preview of the studio shows a picture. */
export function previewing(): { width: number; ready: boolean } {
  const video = document.querySelector<HTMLVideoElement>('[data-test=preview]');
  return { width: video?.videoWidth ?? 0, ready: (video?.readyState ?? 0) >= 2 };
}

export function publishStatus(): string {
  return document.querySelector<HTMLElement>('[data-test=publish-status]')?.dataset['status'] ?? '';
}

export function chatLines(): string[] {
  const words = ':scope > span:not([role=group])';
  return Array.from(document.querySelectorAll('[data-test=chat-line]'), (line) =>
    Array.from(line.querySelectorAll(words), (part) => part.textContent).join(''));
}

export function reactions(): string[] {
  return window.kliegReactions;
}

/** For how long the most recent reaction has been rising. */
export function risenMs(): number {
  const latest = Array.from(document.querySelectorAll('[data-test=reaction]')).at(-1);
  return Number(latest?.getAnimations()[0]?.currentTime ?? 0);
}

export function viewerCount(): number {
  return Number(document.querySelector<HTMLElement>('[data-test=viewer-count]')?.dataset['count'] ?? -1);
}

/** Milliseconds from asking for the page to the first frame shown. */
export function firstFrameAfter(): number | undefined {
  return window.kliegPlayingAt;
}

/** How old the picture is, as the player says, in milliseconds; -1 while it does not. */
export function latencyMs(): number {
  return Number(document.querySelector<HTMLElement>('[data-test=latency]')?.dataset['ms'] ?? -1);
}

/** The language that the page says it is in, and its first heading. */
export function language(): { tag: string; heading: string } {
  return { tag: document.documentElement.lang, heading: document.querySelector('main :is(h1, h2)')?.textContent.trim() ?? '' };
}

export function statusWords(): string {
  return document.querySelector('[data-test=status]')?.textContent ?? '';
}

export function statuses(): string[] {
  return window.kliegStatuses;
}

/** Begins to measure the longest time for which the picture did not move, whatever shows it. */
export function watchGaps(): void {
  const video = document.querySelector<HTMLVideoElement>('[data-test=video]')!;
  window.kliegShownAt = performance.now();
  window.kliegLongestGapMs = 0;
  const shown = () => {
    window.kliegLongestGapMs = Math.max(window.kliegLongestGapMs, performance.now() - window.kliegShownAt);
    window.kliegShownAt = performance.now();
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

/** That time, the one that has not ended included. */
export function longestGapMs(): number {
  return Math.max(window.kliegLongestGapMs, performance.now() - window.kliegShownAt);
}

/** What covers the words over the picture; empty when nothing does. */
export function coverOfWords(): string {
  const words = document.querySelector('[data-test=overlay-words]');
  if (words === null) return 'there are none';
  const box = words.getBoundingClientRect();
  const stage = document.querySelector('[data-test=stage]')!.getBoundingClientRect();
  if (box.height === 0 || box.top < stage.top || box.bottom > stage.bottom) return 'the edge of the stage';
  const over = Array.from(document.querySelectorAll('[data-test=unmute] span, [data-test=stage] button:not([data-test=unmute])')).filter((other) => {
    const its = other.getBoundingClientRect();
    return its.left < box.right && its.right > box.left && its.top < box.bottom && its.bottom > box.top;
  });
  return over.map(({ textContent, ariaLabel }) => textContent.trim() || ariaLabel).join(', ');
}

/** What stands under the field of the chat. */
export function chatNote(): string {
  return document.querySelector('[data-test=chat-note]')?.textContent.trim() ?? '';
}

export function draft(): string {
  return document.querySelector<HTMLInputElement>('[data-test=chat-draft]')?.value ?? '';
}

/** Which notice the studio shows; empty when none. */
export function notice(): string {
  return document.querySelector<HTMLElement>('[data-test=studio-notice]')?.dataset['notice'] ?? '';
}

/** The share of the page's scripts and styles that went over the network. */
export function packing(): number {
  const files = performance.getEntriesByType('resource') as PerformanceResourceTiming[];
  const texts = files.filter(({ name }) => /\.(?:css|js)$/.test(name));
  const sum = (size: (file: PerformanceResourceTiming) => number) => texts.reduce((total, file) => total + size(file), 0);
  return sum(({ encodedBodySize }) => encodedBodySize) / sum(({ decodedBodySize }) => decodedBodySize);
}

/** Every word on the page. */
export function sentences(): string {
  return document.body.innerText;
}

/** How much of the chat is below what is shown, in pixels. */
export function chatEnd(): number {
  const list = document.querySelector('[data-test=chat-list]');
  return list === null ? Infinity : list.scrollHeight - list.scrollTop - list.clientHeight;
}

/** How many lines of the chat may paint outside themselves. */
export function chatOverlaps(): number {
  return Array.from(document.querySelectorAll('[data-test=chat-line]')).filter((line) => getComputedStyle(line).overflowY !== 'clip').length;
}

/** Whether each camera, microphone and screen that the page opened is still in use. */
export function cameraTracks(): string[] {
  return window.kliegTracks.map(({ readyState }) => readyState);
}

/** Gives the cameras that the page opens a blur of what is behind, as some systems do. */
export function haveBlur(): void {
  window.kliegBlurs = 0;
  const blurred = new WeakSet<MediaStreamTrack>();
  const { getCapabilities, getSettings, applyConstraints } = MediaStreamTrack.prototype;
  Object.assign(MediaStreamTrack.prototype, {
    getCapabilities(this: MediaStreamTrack) { return { ...getCapabilities.call(this), backgroundBlur: [false, true] }; },
    getSettings(this: MediaStreamTrack) { return { ...getSettings.call(this), backgroundBlur: blurred.has(this) }; },
    async applyConstraints(this: MediaStreamTrack, { backgroundBlur, ...others }: MediaTrackConstraints & { backgroundBlur?: boolean }) {
      await applyConstraints.call(this, others);
      if (backgroundBlur !== true) return;
      blurred.add(this);
      window.kliegBlurs++;
    },
  });
}

/** Ends what is shared as the browser's own button does. */
export function endShare(): void {
  for (const track of window.kliegTracks.filter(({ label }) => label.startsWith('screen:'))) {
    track.stop();
    track.dispatchEvent(new Event('ended'));
  }
}

/** The mean colours of five spots of a viewer's picture: red, green and blue from 0 to 255. */
export type Spots = Record<'middle' | 'bottomRight' | 'bottomLeft' | 'topRight' | 'topLeft', [number, number, number]>;

export function spots(): Spots | undefined {
  const video = document.querySelector<HTMLVideoElement>('[data-test=video]');
  if (video === null || video.readyState < 2) return undefined;
  const context = Object.assign(document.createElement('canvas'), { width: 64, height: 36 }).getContext('2d')!;
  context.drawImage(video, 0, 0, 64, 36);
  const mean = (left: number, top: number): [number, number, number] => {
    const { data } = context.getImageData(left, top, 6, 5);
    return [0, 1, 2].map((colour) => Math.round(data.filter((_, index) => index % 4 === colour).reduce((sum, value) => sum + value, 0) / 30)) as [number, number, number];
  };
  // Inside of a camera in a corner.
  return { middle: mean(29, 15), bottomRight: mean(52, 28), bottomLeft: mean(6, 28), topRight: mean(52, 3), topLeft: mean(6, 3) };
}

/** What the newest peer connection last offered. */
export function offered(): string {
  return window.kliegPeers.at(-1)?.localDescription?.sdp ?? '';
}

/** What a viewer's player had to cope with so far. */
export interface Playback {
  /** Packets of picture and sound that never came. */
  lost: number;
  /** Samples of sound played, and those of them that were made up. */
  samples: number;
  concealed: number;
  freezes: number;
  /** How long the picture stood still in them, in seconds. */
  stoodStill: number;
}

export async function playback(): Promise<Playback> {
  const seen: Playback = { lost: 0, samples: 0, concealed: 0, freezes: 0, stoodStill: 0 };
  const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
  for (const entry of report.values()) {
    if (entry['type'] !== 'inbound-rtp') continue;
    seen.lost += Number(entry['packetsLost'] ?? 0);
    seen.samples += Number(entry['totalSamplesReceived'] ?? 0);
    seen.concealed += Number(entry['concealedSamples'] ?? 0);
    seen.freezes += Number(entry['freezeCount'] ?? 0);
    seen.stoodStill += Number(entry['totalFreezesDuration'] ?? 0);
  }
  return seen;
}

/** How long pictures and sound waited at this viewer since the last look, in milliseconds a frame and a sample. */
export interface Waited {
  video: number;
  audio: number;
}

export async function waited(): Promise<Waited> {
  const of = async () => {
    const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
    const streams = [...report.values()].filter((entry) => entry['type'] === 'inbound-rtp');
    return ['video', 'audio'].map((kind) => {
      const stream = streams.find((entry) => entry['kind'] === kind);
      return [Number(stream?.['jitterBufferDelay'] ?? 0), Number(stream?.['jitterBufferEmittedCount'] ?? 0)] as const;
    });
  };
  const before = await of();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = await of();
  const [video, audio] = after.map(([delay, count], index) => 1000 * (delay - before[index]![0]) / Math.max(1, count - before[index]![1]));
  return { video: Math.round(video!), audio: Math.round(audio!) };
}

/** What the newest peer connection is told of when something was captured. */
export interface Captured {
  kind: string;
  /** How long ago that was, by the clock of what captured, in milliseconds; `null` as long as nothing is told. */
  ageMs: number | null;
  /** How far that clock is ahead of the server's, in milliseconds; `null` as long as nothing is told. */
  aheadMs: number | null;
}

export function captured(): Captured[] {
  const since1900Ms = 2_208_988_800_000;
  return window.kliegPeers.at(-1)!.getReceivers().map((receiver) => {
    const [source] = receiver.getSynchronizationSources() as (RTCRtpSynchronizationSource & { captureTimestamp?: number; senderCaptureTimeOffset?: number })[];
    const at = source?.captureTimestamp;
    return { kind: receiver.track.kind, ageMs: at === undefined ? null : Date.now() + since1900Ms - at, aheadMs: source?.senderCaptureTimeOffset ?? null };
  });
}

/** What the newest peer connection's video went through, as the browser counts it. */
export async function repairs(): Promise<Record<string, number>> {
  const names = ['framesReceived', 'framesDecoded', 'framesDropped', 'keyFramesDecoded', 'nackCount', 'pliCount', 'retransmittedPacketsReceived', 'packetsReceived', 'packetsLost', 'freezeCount', 'totalFreezesDuration'];
  const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
  const [video] = [...report.values()].filter((entry) => entry['type'] === 'inbound-rtp' && entry['kind'] === 'video');
  return Object.fromEntries(names.map((name) => [name, Number(video?.[name] ?? 0)]));
}

/** Moments in milliseconds since 1970; `undefined` until then. */
export interface Seen {
  light: number | undefined;
  card: number | undefined;
  poll: number | undefined;
  announcement: number | undefined;
  toast: number | undefined;
}

/** Publishes a drawing in the place of the camera: dark, but for a spot that moves. */
export async function paint(): Promise<void> {
  const canvas = Object.assign(document.createElement('canvas'), { width: 640, height: 360 });
  const brush = canvas.getContext('2d')!;
  window.kliegPaint = (light) => {
    brush.fillStyle = light ? 'white' : 'black';
    brush.fillRect(0, 0, 640, 360);
  };
  window.kliegPaint(false);
  setInterval(() => {
    brush.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 50%)`;
    brush.fillRect(600, 320, 40, 40);
  }, 1000 / 30);
  const sender = window.kliegPeers.at(-1)!.getSenders().find(({ track }) => track?.kind === 'video');
  await sender!.replaceTrack(canvas.captureStream(30).getVideoTracks()[0]!);
}

/** Makes the picture light, or dark, and shows the first product large, or not any more; returns the moment of both. */
export function act(given: string): number {
  window.kliegPaint(given === 'light');
  document.querySelector<HTMLElement>('[data-test=product-feature]')!.click();
  return performance.timeOrigin + performance.now();
}

/** Makes the picture light, and sends what is given; returns the moment of both. */
export function send(given: string): number {
  window.kliegPaint(true);
  for (const [url, request] of JSON.parse(given) as [string, RequestInit][]) void fetch(url, request);
  return performance.timeOrigin + performance.now();
}

/** Begins to look for a picture that becomes light, and for what a host does with it. */
export function watchLight(): void {
  const video = document.querySelector<HTMLVideoElement>('[data-test=video]')!;
  const brush = Object.assign(document.createElement('canvas'), { width: 3, height: 3 }).getContext('2d', { willReadFrequently: true })!;
  const seen: Seen = { light: undefined, card: undefined, poll: undefined, announcement: undefined, toast: undefined };
  const marks = { card: 'featured', poll: 'poll', announcement: 'announcement', toast: 'order-toast' };
  let wasDark = false;
  window.kliegSeen = seen;
  const now = () => performance.timeOrigin + performance.now();
  const look = () => {
    brush.drawImage(video, 0, 0, 3, 3);
    const isLight = brush.getImageData(1, 1, 1, 1).data[0]! > 150;
    if (isLight && wasDark) seen.light ??= now();
    wasDark ||= !isLight;
    for (const [what, mark] of Object.entries(marks) as [keyof typeof marks, string][]) {
      if (document.querySelector(`[data-test=${mark}]`) !== null) seen[what] ??= now();
    }
    if (window.kliegSeen === seen) requestAnimationFrame(look);
  };
  look();
}

export function seen(): Seen {
  return window.kliegSeen;
}

/** What a page publishes by WHIP, as any page may. */
export interface Drawing {
  room: string;
  key: string;
  /** Bits a second of three layers, the least first. */
  rates: [number, number, number];
  /** Small squares drawn for each picture: the more there are, the more there is to send. */
  squares: number;
}

/**
 * Publishes a drawing in three layers. It is as small as Chromium makes three layers of, and has so little for the
 * smaller ones, by default, that Chromium begins with all three.
 */
export async function publishLayers(given: string): Promise<void> {
  const { room, key, rates, squares }: Drawing = given === '' ? { room: 'demo', key: 'demo-key', rates: [60_000, 120_000, 400_000], squares: 1 } : JSON.parse(given);
  const canvas = Object.assign(document.createElement('canvas'), { width: 960, height: 540 });
  const brush = canvas.getContext('2d')!;
  setInterval(() => {
    for (let square = 0; square < squares; square++) {
      brush.fillStyle = `hsl(${(performance.now() / 20 + square * 7) % 360} 60% ${30 + square % 40}%)`;
      brush.fillRect(Math.random() * 900, Math.random() * 480, 60, 60);
    }
  }, 1000 / 30);
  const [drawing] = canvas.captureStream(30).getVideoTracks();
  const peer = new RTCPeerConnection();
  const sendEncodings = ['q', 'h', 'f'].map((rid, index) => ({ rid, scaleResolutionDownBy: 4 >> index, maxBitrate: rates[index]! }));
  peer.addTransceiver(drawing!, { direction: 'sendonly', sendEncodings });
  await peer.setLocalDescription();
  const headers = { 'content-type': 'application/sdp', 'authorization': `Bearer ${key}` };
  const answer = await fetch(`/whip/${room}`, { method: 'POST', headers, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}

/** Publishes the microphone as redundant sound, and a drawing, by WHIP into the demo room. */
export async function publishRedundant(): Promise<void> {
  const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 180 });
  const brush = canvas.getContext('2d')!;
  setInterval(() => {
    brush.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 50%)`;
    brush.fillRect(0, 0, 320, 180);
  }, 1000 / 15);
  const [drawing] = canvas.captureStream(15).getVideoTracks();
  const [microphone] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
  const peer = new RTCPeerConnection();
  const sound = peer.addTransceiver(microphone!, { direction: 'sendonly' });
  const codecs = RTCRtpSender.getCapabilities('audio')!.codecs;
  const isRedundant = ({ mimeType }: { mimeType: string }) => mimeType === 'audio/red';
  sound.setCodecPreferences([...codecs.filter(isRedundant), ...codecs.filter((codec) => !isRedundant(codec))]);
  peer.addTransceiver(drawing!, { direction: 'sendonly' });
  await peer.setLocalDescription();
  const headers = { 'content-type': 'application/sdp', 'authorization': 'Bearer demo-key' };
  const answer = await fetch('/whip/demo', { method: 'POST', headers, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}

/** Listens to the demo room by WHEP, taking these codings of sound: `audio/red,audio/opus`. */
export async function listenByWhep(codings: string): Promise<void> {
  const peer = new RTCPeerConnection();
  const sound = peer.addTransceiver('audio', { direction: 'recvonly' });
  const codecs = RTCRtpReceiver.getCapabilities('audio')!.codecs;
  sound.setCodecPreferences(codecs.filter(({ mimeType }) => codings.split(',').includes(mimeType)));
  const speaker = Object.assign(document.createElement('audio'), { autoplay: true, srcObject: new MediaStream([sound.receiver.track]) });
  document.body.append(speaker);
  await peer.setLocalDescription();
  const answer = await fetch('/whep/demo', { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  await speaker.play();
}

/** What the newest peer connection sends or receives of sound. */
export interface Sound {
  /** Codings that were agreed to, as the description of the other end has them. */
  agreed: string[];
  /** What the browser says that it sends or plays. */
  codec: string;
  packets: number;
  bytes: number;
  lost: number;
  energy: number;
  samples: number;
  concealed: number;
}

export async function sound(): Promise<Sound> {
  const peer = window.kliegPeers.at(-1)!;
  const report = new Map(await peer.getStats() as unknown as Map<string, Record<string, unknown>>);
  const streams = [...report.values()].filter(({ type, kind }) => (type === 'inbound-rtp' || type === 'outbound-rtp') && kind === 'audio');
  const number = (name: string) => Number(streams[0]?.[name] ?? 0);
  const [section = ''] = /^m=audio[^]*?(?=^m=|(?![^]))/m.exec(peer.currentRemoteDescription?.sdp ?? '') ?? [];
  return {
    agreed: [...section.matchAll(/^a=rtpmap:\d+ ([^\s/]+)/gm)].map(([, name]) => name!.toLowerCase()),
    codec: String(report.get(String(streams[0]?.['codecId']))?.['mimeType'] ?? ''),
    packets: number('packetsReceived') + number('packetsSent'),
    bytes: number('bytesReceived') + number('bytesSent'),
    lost: number('packetsLost'),
    energy: number('totalAudioEnergy'),
    samples: number('totalSamplesReceived'),
    concealed: number('concealedSamples'),
  };
}

/** Frames that the newest peer connection sent, of each layer by its RID. */
export async function framesSent(): Promise<Record<string, number>> {
  const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
  const sent = [...report.values()].filter((entry) => entry['type'] === 'outbound-rtp' && entry['kind'] === 'video');
  return Object.fromEntries(sent.map((entry) => [String(entry['rid']), Number(entry['framesSent'] ?? 0)]));
}

/** Signs up, as `host` unless another name is given, and makes a room; returns its id and the key to publish into it. */
export async function makeRoom(username: string): Promise<{ room: string; key: string }> {
  const post = async (path: string, body: unknown, token?: string) => {
    const headers = { 'content-type': 'application/json', ...token !== undefined && { authorization: `Bearer ${token}` } };
    const answer = await fetch(`/api/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return await answer.json() as Record<string, Record<string, string> & string>;
  };
  const password = crypto.randomUUID();
  const account = await post('/auth/register', { username: username === '' ? 'host' : username, password });
  const made = await post('/rooms?start=true', { title: 'Netlab', reusable: true }, account['accessToken']);
  return { room: made['id']!, key: made['ingest']!['streamKey']! };
}

/** Watches by WHEP, and remembers the layers it is told of. */
export async function watchLayers(): Promise<void> {
  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', { direction: 'recvonly' });
  await peer.setLocalDescription();
  const answer = await fetch('/whep/demo', { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription!.sdp });
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const link = (relation: string) => new RegExp(`<([^>]+)>; rel="urn:ietf:params:whep:ext:core:${relation}"`).exec(answer.headers.get('link') ?? '')![1]!;
  window.kliegLayerUrl = link('layer');
  window.kliegLayers = [];
  const stream = await fetch(link('server-sent-events'), { method: 'POST' });
  new EventSource(stream.headers.get('location')!).addEventListener('layers', ({ data }) => {
    window.kliegLayers = JSON.parse(String(data))['0'];
  });
}

/** Asks for another layer by its RID; returns the status. */
export async function wantLayer(rid: string): Promise<number> {
  const answer = await fetch(window.kliegLayerUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ rid }) });
  return answer.status;
}

/** Returns what a figure of the audience page says, or the page in its place. */
export function figure(name: string): string {
  const place = name === 'empty' ? '[data-test=analytics-empty] h2' : `[data-test=figure-${name}] dd`;
  return document.querySelector<HTMLElement>(place)?.innerText ?? '';
}

/** Returns the name of what the chart of the audience page shows. */
export function figures(): string {
  return document.querySelector('[data-test=chart]')?.getAttribute('aria-label') ?? '';
}

/** Returns how far the page sticks out to the side. */
export function overflow(): number {
  return document.documentElement.scrollWidth - document.documentElement.clientWidth;
}
