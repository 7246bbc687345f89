/** Watches a room: one peer connection that outlives the publisher's, renewed when its picture stands still. */

import { backoff } from './backoff.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { Description, Layers, SessionState, Trouble } from './protocol.js';
import { PlayoutDelay } from './playout.js';
import type { Connection, Room } from './room.js';
import { PictureAge, RateMeter, reception, repairs, viewerStats } from './stats.js';
import type { ViewerStats } from './stats.js';
import { Complaints, WayBack, WayFinder } from './trouble.js';
import { Watchdog } from './watchdog.js';

const SAMPLE_EVERY_MS = 1_000;
/** Between two reports of what was received, and until the first. */
const REPORT_EVERY_MS = 15_000;
/** While a viewer is in one of these, there is something to report. A freeze is reported when it is over, or the session is. */
const RECEIVING: ReadonlySet<ViewerStatus['kind']> = new Set(['playing', 'paused']);
/** While a session is so young its network is still being learnt: until frames wait for repairs, each loss is a hole. */
const YOUNG_MS = 6_000;
const SAMPLE_YOUNG_MS = 250;
/** A picture that moved so lately goes on. */
const MOVING_MS = 1_500;
/** A successor whose first frames came goes on smoothly; it takes the place of a moving picture then. */
const STEADY_FRAMES = 10;
/** More than the server takes is as good as never. */
const LONGEST_FIRST_MS = 65_535;
/** Sessions in a row for which there was no room, until that is told as trouble: one proves nothing. */
const CROWDED = 2;
/** A session that was asked for so lately may still be on its way: nothing is wrong with that yet. */
const UNDER_WAY_MS = 5_000;
/** Until the first frame, so that the picture is announced when it is there. */
const SAMPLE_FIRST_MS = 100;

/** What a viewer sees and why, for `describeViewer` to put into words. */
export type ViewerStatus =
  /** No answer from the server yet. */
  | { kind: 'connecting' }
  /** Nobody publishes. */
  | { kind: 'waiting' }
  /** Nobody publishes any more: the show that was on is over. */
  | { kind: 'ended' }
  /** The publisher is live, the first frame is on its way. */
  | { kind: 'starting' }
  | { kind: 'playing' }
  /** The publisher was lost; the last picture stays. */
  | { kind: 'interrupted' }
  /** The host is there and sends no picture; the last one stays. */
  | { kind: 'unsent' }
  /** The network carries no picture; sound goes on, and the picture returns by itself. */
  | { kind: 'paused' }
  /** Frames are missing; a repair is under way. `trouble` says what is in the way, once that is known. */
  | { kind: 'stalled'; trouble?: Trouble }
  /** The socket was lost; what still comes is shown. `trouble` is there when it does not come back soon. */
  | { kind: 'reconnecting'; trouble?: Trouble }
  /** This browser has no decoder for what is sent. */
  | { kind: 'unplayable'; codec: string }
  /** It is over; `code` says why, where something failed. */
  | { kind: 'closed'; code?: string };

/** What a `Viewer` tells. */
export interface ViewerEvents {
  status: ViewerStatus;
  /** What to show; another one after a new session. */
  stream: MediaStream;
  /** Which layers there are, which of them comes, and why. */
  layers: Layers;
  /** The first frame of a session was decoded, so long after the session was asked for. */
  firstFrame: { afterMs: number };
}

/** One peer connection on its way from the server. */
interface Session {
  id: string;
  pc: RTCPeerConnection;
  stream: MediaStream;
  meter: RateMeter;
  playout: PlayoutDelay;
  age: PictureAge;
  way: WayFinder;
  /** As it was at the last sample; `undefined` where nobody can tell. */
  ageMs: number | undefined;
  /** Frames decoded at the last sample. */
  frames: number;
  /** When they had last become more; `undefined` until the first. */
  movedAt: number | undefined;
  /** How long the first frame took; `undefined` until it came, and once the server was told. */
  firstFrameMs: number | undefined;
}

/** Receives a room's picture and sound. */
export class Viewer extends Emitter<ViewerEvents> {
  #room: Room;
  /** What is shown; stays in place, frozen, until its successor has a frame. */
  #session: Session | undefined;
  /** The successor. */
  #next: Session | undefined;
  /** The server's name of the session asked for last; offers for others are late. */
  #wanted: string | undefined;
  #layers: Layers | undefined;
  /** The layer that was asked for last, or `auto`. */
  #choice = 'auto';
  #status: ViewerStatus = { kind: 'connecting' };
  #error: KliegError | undefined;
  #watchdog = new Watchdog();
  #wayBack = new WayBack();
  /** What keeps the picture away although the room is joined; `undefined` until that is known, and once frames come. */
  #trouble: Trouble | undefined;
  #complaints = new Complaints();
  /** Sessions in a row for which the server had no room. */
  #crowded = 0;
  #video: HTMLVideoElement | undefined;
  #askedAt = 0;
  /** When the server is told next what was received. */
  #reportAt = REPORT_EVERY_MS;
  #attempts = 0;
  #timers = new Set<ReturnType<typeof setTimeout>>();
  /** The one of the next sample; `undefined` once closed. */
  #sampler: ReturnType<typeof setTimeout> | undefined;
  /** Descriptions are applied one after the other. */
  #queue: Promise<void> = Promise.resolve();
  #stop: (() => void)[];
  #closed = false;

  constructor(room: Room) {
    super();
    this.#room = room;
    this.#stop = [
      room.on('open', () => this.#subscribe()),
      room.on('offer', (offer) => this.#handleOffer(offer)),
      room.on('session', (state) => this.#handleSession(state)),
      room.on('layers', (layers) => this.#handleLayers(layers)),
      room.on('publisher', () => this.#judge()),
      room.on('info', () => this.#judge()),
      room.on('connection', ({ error }) => this.#handleConnection(error)),
      room.follow(() => this.shownAt),
    ];
    if (room.connection === 'joined') this.#subscribe();
    this.#sampleIn(SAMPLE_FIRST_MS);
  }

  get status(): ViewerStatus { return this.#status; }
  get stream(): MediaStream | undefined { return this.#session?.stream; }
  /** What was told of the layers last; `undefined` before there were any. */
  get layers(): Layers | undefined { return this.#layers; }
  /** The layer that is wanted, or `auto`. */
  get choice(): string { return this.#choice; }

  /**
   * When the frame was captured that is shown now, in milliseconds since 1970 by the server's clock; `undefined` while the
   * picture stands still, and where nobody can tell.
   */
  get shownAt(): number | undefined {
    const now = this.#room.clock.now();
    const ageMs = this.#session?.ageMs;
    const moves = this.#moves() && this.#video?.paused !== true;
    return moves && now !== undefined && ageMs !== undefined ? now - ageMs : undefined;
  }

  /** Shows the stream, and each that follows it, in `video`. */
  attach(video: HTMLVideoElement): void {
    this.#video = video;
    if (this.#session !== undefined) video.srcObject = this.#session.stream;
  }

  /** Reads the numbers of the picture and sound that are shown. */
  async stats(): Promise<ViewerStats | undefined> {
    const session = this.#session;
    if (session === undefined) return undefined;
    const stats = viewerStats(await session.pc.getStats() as unknown as Map<string, unknown>, session.meter, this.#room.clock.now());
    return { ...stats, latencyMs: stats.latencyMs ?? session.ageMs };
  }

  /**
   * Asks for a layer by its name, from now on and for sessions and publishers to come; `auto` is the best that the network
   * carries. Has the server tell the layers anew. Fails with `layer_unknown` where the publisher has none of this name.
   */
  async choose(layer: string): Promise<void> {
    const before = this.#choice;
    this.#choice = layer;
    // Without a session the next one asks for it.
    if (this.#wanted === undefined || this.#room.connection !== 'joined') return;
    try {
      await this.#room.request('rtc.subscribe', { layer });
    } catch (thrown) {
      if (this.#choice === layer && KliegError.from(thrown).code !== 'disconnected') this.#choice = before;
      throw thrown;
    }
  }

  /** Stops watching; the room stays open. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stop) stop();
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.#wanted !== undefined) this.#room.request('rtc.close', { sessionId: this.#wanted }).catch(() => {});
    this.#next?.pc.close();
    this.#session?.pc.close();
    if (this.#video !== undefined) this.#video.srcObject = null;
  }

  #subscribe(): void {
    this.#askedAt = performance.now();
    const layer = this.#choice;
    this.#room.request('rtc.subscribe', { layer }).then(
      ({ sessionId }) => {
        this.#wanted = sessionId;
        this.#crowded = 0;
        if (this.#trouble === 'full') this.#trouble = undefined;
        // Chosen while the answer was on its way.
        if (this.#choice !== layer) this.choose(this.#choice).catch(() => {});
      },
      (error: KliegError) => {
        if (error.code === 'busy' && ++this.#crowded >= CROWDED) this.#suffer('full');
        // Another publisher came meanwhile: rather another layer than no picture.
        if (error.code === 'layer_unknown') this.#choice = 'auto';
        // After a loss the next `open` subscribes.
        if (error.code === 'disconnected' || this.#room.connection !== 'joined') return;
        this.#later(error.retryAfterMs ?? backoff(this.#attempts++), () => this.#subscribe());
      },
    );
  }

  /** Gives the session up for a new one; its last picture stays. */
  #renew(): void {
    const sessionId = this.#wanted;
    if (sessionId !== undefined) this.#room.request('rtc.close', { sessionId }).catch(() => {});
    this.#wanted = undefined;
    this.#subscribe();
  }

  #handleOffer(offer: Description): void {
    this.#queue = this.#queue.then(() => this.#answer(offer)).catch((thrown: unknown) => this.#despair(offer, thrown));
  }

  /** A session that could not be agreed on is given up, unless another took its place. */
  #despair({ sessionId }: Description, thrown: unknown): void {
    if (KliegError.from(thrown).code === 'disconnected') return;
    this.#later(backoff(this.#attempts++), () => {
      if (this.#wanted === sessionId) this.#renew();
    });
  }

  async #answer(offer: Description): Promise<void> {
    const { sessionId, sdp } = offer;
    if (this.#closed || (this.#wanted !== undefined && this.#wanted !== sessionId)) return;
    const { pc } = this.#find(sessionId) ?? this.#begin(sessionId);
    await pc.setRemoteDescription({ type: 'offer', sdp });
    await pc.setLocalDescription();
    // Sent before candidates are gathered: the server, which is ICE-lite, learns them from our checks.
    this.#room.request('rtc.answer', { sessionId, sdp: pc.localDescription?.sdp ?? '' })
      .catch((thrown: unknown) => this.#despair(offer, thrown));
  }

  #find(id: string): Session | undefined {
    return [this.#session, this.#next].find((session) => session?.id === id);
  }

  #begin(id: string): Session {
    const pc = new RTCPeerConnection({ iceServers: this.#room.iceServers, bundlePolicy: 'max-bundle' });
    const session: Session = {
      id, pc, stream: new MediaStream(), meter: new RateMeter(), playout: new PlayoutDelay(), age: new PictureAge(), way: new WayFinder(pc), ageMs: undefined, frames: 0, movedAt: undefined, firstFrameMs: undefined,
    };
    pc.addEventListener('track', ({ track }) => session.stream.addTrack(track));
    pc.addEventListener('connectionstatechange', () => {
      if (session.id !== this.#wanted) return;
      if (pc.connectionState === 'connected') this.#trouble = undefined;
      if (pc.connectionState !== 'failed') return;
      this.#blame(session);
      this.#restart(session);
    });
    this.#next?.pc.close();
    this.#next = session;
    if (this.#session === undefined) this.#promote();
    this.#sampleIn(SAMPLE_FIRST_MS);
    return session;
  }

  /** Shows the successor in the place of what was shown. */
  #promote(): void {
    const session = this.#next;
    if (session === undefined) return;
    this.#session?.pc.close();
    this.#session = session;
    this.#next = undefined;
    if (this.#video !== undefined) this.#video.srcObject = session.stream;
    this.emit('stream', session.stream);
    this.#room.releaseFormer();
  }

  #restart(session: Session): void {
    if (session.id !== this.#wanted) return;
    this.#room.request('rtc.restart', { sessionId: session.id }).catch(() => {}); // A new session is next.
  }

  #handleConnection(error: KliegError | undefined): void {
    this.#error = error;
    const { trouble } = this.#room;
    if (trouble !== undefined) this.#complaints.add(trouble);
    this.#judge();
  }

  #handleLayers(layers: Layers): void {
    this.#layers = layers;
    this.emit('layers', layers);
    this.#judge();
  }

  #handleSession({ sessionId, state, reason }: SessionState): void {
    if (state !== 'closed' || sessionId !== this.#wanted) return;
    this.#wanted = undefined;
    if (reason === 'handshake_failed' || reason === 'fingerprint_mismatch') this.#suffer('dtls_failed');
    if (reason === 'handshake_timeout') this.#blame(this.#find(sessionId));
    this.#later(backoff(this.#attempts++), () => {
      if (this.#wanted === undefined && this.#room.connection === 'joined') this.#subscribe();
    });
  }

  async #sample(): Promise<void> {
    for (const session of [this.#session, this.#next]) {
      if (session !== undefined) await this.#count(session).catch(() => {}); // Closed meanwhile.
    }
    if (this.#closed) return;
    const current = this.#next ?? this.#session;
    if (this.#next !== undefined && this.#ready(this.#next)) this.#promote();
    const remedy = this.#watchdog.sample(performance.now(), current?.frames ?? 0, this.#framesExpected());
    if (remedy === 'keyframe' && current !== undefined) this.#room.request('rtc.keyframe', { sessionId: current.id }).catch(() => {}); // A restart is next.
    if (remedy === 'restart' && current !== undefined) this.#restart(current);
    if (remedy === 'none' && this.#wayBack.sample(performance.now(), current?.way.detour) && current !== undefined) this.#restart(current);
    if (remedy === 'renew') {
      if (performance.now() - this.#askedAt >= UNDER_WAY_MS) this.#blame(current);
      await this.#reportFreeze().catch(() => {}); // Closed meanwhile.
      if (this.#closed) return;
      this.#renew();
    }
    await this.#report().catch(() => {}); // Closed meanwhile.
    if (this.#closed) return;
    this.#tellTrouble();
    this.#judge();
    const pending = this.#status.kind === 'connecting' || this.#status.kind === 'starting' || this.#next !== undefined;
    const isYoung = performance.now() - this.#askedAt < YOUNG_MS;
    this.#sampleIn(pending ? SAMPLE_FIRST_MS : isYoung ? SAMPLE_YOUNG_MS : SAMPLE_EVERY_MS);
  }

  /**
   * Finds out what is wrong with a session's way, if anything. It counts once the server answers by the socket: where that
   * is gone as well, the server is, or the whole network, or this device slept.
   */
  #blame(session: Session | undefined): void {
    const trouble = session?.way.diagnose();
    if (trouble === undefined) return;
    this.#room.request('ping', {}).then(() => this.#suffer(trouble), () => {}); // Nothing is known then.
  }

  /** Takes note of what keeps the picture away. */
  #suffer(trouble: Trouble): void {
    this.#trouble = trouble;
    this.#complaints.add(trouble);
    this.#judge();
  }

  /** Tells the server why nothing is seen, once there is a way to. */
  #tellTrouble(): void {
    if (this.#room.connection !== 'joined') return;
    const reason = this.#complaints.next(performance.now());
    if (reason === undefined) return;
    this.#room.request('rtc.trouble', { reason }).catch((error: KliegError) => {
      if (['disconnected', 'timeout', 'rate_limited'].includes(error.code)) this.#complaints.putBack(reason);
    });
  }

  /** Tells the server what was received, for its figures. */
  async #report(): Promise<void> {
    const session = this.#session;
    if (session === undefined || performance.now() < this.#reportAt || !RECEIVING.has(this.#status.kind)) return;
    await this.#tell(session);
  }

  /** Tells the server of a freeze that ends with its session: browsers count one when the picture moves again. */
  async #reportFreeze(): Promise<void> {
    const session = this.#session;
    if (session?.movedAt === undefined || session.id !== this.#wanted) return;
    await this.#tell(session, performance.now() - session.movedAt);
  }

  async #tell(session: Session, frozenMs?: number): Promise<void> {
    this.#reportAt = performance.now() + REPORT_EVERY_MS;
    const report = await session.pc.getStats() as unknown as Map<string, unknown>;
    const counted = reception(report, this.#room.clock.now(), frozenMs, session.ageMs);
    const { firstFrameMs } = session;
    session.firstFrameMs = undefined;
    this.#room.request('rtc.report', { sessionId: session.id, ...counted, ...firstFrameMs !== undefined && { firstFrameMs } }).catch(() => {}); // Only figures.
  }

  async #count(session: Session): Promise<void> {
    const report = await session.pc.getStats() as unknown as Map<string, Record<string, unknown>>;
    const counted = repairs(report);
    // On a lossy path it takes a while until the browser has measured.
    const roundTripMs = counted.roundTripMs ?? this.#room.clock.roundTripMs;
    session.ageMs = session.age.read(report, this.#room.clock.now(), roundTripMs);
    this.#wait(session, session.playout.sample(performance.now(), { ...counted, roundTripMs }));
    session.way.read(report);
    for (const entry of report.values()) {
      if (entry['type'] !== 'inbound-rtp' || entry['kind'] !== 'video') continue;
      const frames = Number(entry['framesDecoded'] ?? 0);
      if (session.frames === 0 && frames > 0) {
        this.#attempts = 0;
        const afterMs = performance.now() - this.#askedAt;
        session.firstFrameMs = Math.min(Math.round(afterMs), LONGEST_FIRST_MS);
        this.emit('firstFrame', { afterMs });
      }
      if (frames > session.frames) {
        session.movedAt = performance.now();
        this.#trouble = undefined;
        this.#complaints.forget();
      }
      session.frames = frames;
    }
  }

  /** Has frames wait before they are shown; sound follows by itself. */
  #wait({ pc }: Session, waitMs: number): void {
    for (const receiver of pc.getReceivers()) {
      if (receiver.track.kind !== 'video' || !('jitterBufferTarget' in receiver)) continue;
      const target = waitMs === 0 ? null : waitMs;
      if (receiver.jitterBufferTarget !== target) receiver.jitterBufferTarget = target;
    }
  }

  #framesExpected(): boolean {
    const publisher = this.#room.publisher;
    return this.#room.connection === 'joined' && publisher?.state === 'live' && publisher.video
      && !publisher.videoMuted && !mismatched(this.#layers) && !paused(this.#layers) && !unsent(this.#layers);
  }

  /** Whether a session can be shown: it has a picture, or there is none to wait for. */
  #ready({ frames, pc }: Session): boolean {
    if (frames > 0) return !this.#moves() || frames >= STEADY_FRAMES;
    // The last picture stays until the host sends another one.
    if (unsent(this.#layers) && (this.#session?.frames ?? 0) > 0) return false;
    return this.#room.connection === 'joined' && !this.#framesExpected() && pc.connectionState === 'connected';
  }

  /** Frames of what is shown or about to be; a picture that stands still while its successor has none counts for nothing. */
  #framesShown(): number {
    const shown = this.#session?.frames ?? 0;
    if (this.#next === undefined) return shown;
    return this.#next.frames || (this.#moves() ? shown : 0);
  }

  /** Whether what is shown still goes on. */
  #moves(): boolean {
    return performance.now() - (this.#session?.movedAt ?? -Infinity) < MOVING_MS;
  }

  #judge(): void {
    const status = judge({
      connection: this.#room.connection,
      publisher: this.#room.publisher,
      ended: this.#room.ended,
      layers: this.#layers,
      frames: this.#framesShown(),
      moves: this.#moves(),
      stalled: this.#watchdog.stalled,
      error: this.#error,
      trouble: this.#room.connection === 'reconnecting' ? this.#room.trouble : this.#trouble,
    });
    if (status.kind === 'unplayable') this.#complaints.add('codec');
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    this.emit('status', status);
  }

  /** Looks again after so long, and not when it was to before. */
  #sampleIn(ms: number): void {
    clearTimeout(this.#sampler);
    if (this.#sampler !== undefined) this.#timers.delete(this.#sampler);
    this.#sampler = this.#later(ms, () => void this.#sample());
  }

  #later(ms: number, act: () => void): ReturnType<typeof setTimeout> | undefined {
    if (this.#closed) return undefined;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }
}

/** Everything that the status of a viewer depends on. */
export interface Evidence {
  connection: Connection;
  publisher: Room['publisher'];
  /** Whether the show that was on is over. */
  ended: boolean;
  layers: Layers | undefined;
  /** Decoded in the present session. */
  frames: number;
  /** Whether the picture goes on. */
  moves: boolean;
  stalled: boolean;
  error: KliegError | undefined;
  /** What keeps the socket or the picture away, as far as is known. */
  trouble?: Trouble | undefined;
}

/** Says what a viewer sees. */
export function judge({ connection, publisher, ended, layers, frames, moves, stalled, error, trouble }: Evidence): ViewerStatus {
  if (connection === 'closed') return error === undefined ? { kind: 'closed' } : { kind: 'closed', code: error.code };
  const because = trouble !== undefined && { trouble };
  if (connection === 'reconnecting') return { kind: 'reconnecting', ...because };
  if ((connection !== 'joined' && connection !== 'rejoining') || publisher === undefined) return { kind: 'connecting' };
  if (publisher.state === 'none') return { kind: ended ? 'ended' : 'waiting' };
  if (publisher.state === 'interrupted') return { kind: 'interrupted' };
  if (mismatched(layers)) return { kind: 'unplayable', codec: layers?.codec ?? publisher.videoCodec ?? '' };
  if (paused(layers)) return { kind: 'paused' };
  // That it comes again is told a little later than it does.
  if (publisher.video && !publisher.videoMuted && unsent(layers) && !moves) return { kind: 'unsent' };
  if (stalled) return { kind: 'stalled', ...because };
  const pictureComes = publisher.video && !publisher.videoMuted;
  return frames === 0 && pictureComes ? { kind: 'starting' } : { kind: 'playing' };
}

function mismatched(layers: Layers | undefined): boolean {
  return layers?.reason === 'codec_mismatch' && layers.selected === null;
}

function paused(layers: Layers | undefined): boolean {
  return layers?.reason === 'bandwidth' && layers.selected === null;
}

/** Nothing has come from the publisher for two seconds: no other session would get more. */
function unsent(layers: Layers | undefined): boolean {
  return layers !== undefined && layers.available.length > 0 && layers.available.every(({ active }) => !active);
}
