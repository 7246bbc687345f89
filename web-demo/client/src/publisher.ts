/** Publishes into a room: one peer connection, made anew when it or the socket is lost. */

import { backoff } from './backoff.js';
import { preferred, redundantFirst, withStartBitrate } from './codecs.js';
import type { VideoCodec } from './codecs.js';
import { askForExtensions } from './extensions.js';
import { encodings, pickLayering } from './layers.js';
import type { Layering } from './layers.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { Description, SessionState } from './protocol.js';
import type { Room } from './room.js';
import { RateMeter, publisherStats } from './stats.js';
import type { PublisherStats } from './stats.js';

/** `disconnected` often heals by itself within a few seconds. */
const RESTART_AFTER_MS = 3_000;
const RENEW_AFTER_MS = 8_000;
/** How long a session goes on once the next one is connected, if the server does not end it before. */
const FORMER_MS = 5_000;

/** How long a session that is over waits for the server to know that it is. */
const FAREWELL_MS = 1_000;

/** Where the video starts, as a part of what it may become. */
const START_SHARE = 0.7;

/** Where publishing is, for `describePublisher` to put into words. */
export type PublisherStatus =
  | { kind: 'idle' }
  | { kind: 'connecting' }
  | { kind: 'live' }
  /** Lost; viewers keep the last picture until it is back. */
  | { kind: 'reconnecting' }
  /** The server does not take it. */
  | { kind: 'refused'; code: string };

/** How to encode. */
export interface PublisherOptions {
  /** `auto` leaves the order to the browser. */
  codec?: VideoCodec | 'auto';
  maxVideoBitrateBps?: number;
  /** How the picture is split, so that viewers with less network get less of it. `auto` (the default) takes what the browser can do. */
  layering?: Layering;
  /**
   * Has each packet of sound carry the one before it too (RFC 2198), so that viewers hear through losses; not in Firefox, which cannot. Sound takes twice
   * the bits, also on the way to each viewer who can use that: off unless it is asked for.
   */
  redundantAudio?: boolean;
}

/** What a `Publisher` tells. */
export interface PublisherEvents {
  status: PublisherStatus;
}

interface Session {
  /** The server's name of it; `undefined` until it answered. */
  id: string | undefined;
  pc: RTCPeerConnection;
  /** Whether it was connected ever. */
  hasConnected: boolean;
  meter: RateMeter;
  /** Runs while the connection is in doubt. */
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** Sends one stream into a room. */
export class Publisher extends Emitter<PublisherEvents> {
  #room: Room;
  #options: PublisherOptions;
  /** What is to be sent; `undefined` when nothing is. */
  #stream: MediaStream | undefined;
  #session: Session | undefined;
  /** The one before, which the room is shown until the next one has a picture; `undefined` mostly. */
  #former: Session | undefined;
  /** What was told last of a session that was closed before the server's answer named it; `undefined` mostly. */
  #early: SessionState | undefined;
  #status: PublisherStatus = { kind: 'idle' };
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #stop: (() => void)[];

  constructor(room: Room, options: PublisherOptions = {}) {
    super();
    this.#room = room;
    this.#options = options;
    this.#stop = [
      room.on('joined', () => this.#return()),
      room.on('resumed', () => this.#return()),
      room.on('answer', (answer) => void this.#handleAnswer(answer)),
      room.on('session', (state) => this.#handleSession(state)),
      room.on('publisher', ({ state }) => {
        // Who took the place is gone, too.
        if (state !== 'live' && this.#status.kind === 'refused' && this.#status.code === 'replaced') this.#change({ kind: 'idle' });
      }),
      room.on('connection', ({ connection, error }) => {
        if (this.#stream === undefined) return;
        if (connection === 'reconnecting') this.#lose();
        if (connection === 'rejoining') this.#giveUp();
        if (connection === 'closed') this.#end({ kind: 'refused', code: error?.code ?? 'closed' });
      }),
    ];
  }

  get status(): PublisherStatus { return this.#status; }

  /** Goes live with `stream`, and stays so over losses until `close`; what is closed stays so. */
  publish(stream: MediaStream, options: PublisherOptions = {}): void {
    if (this.#closed) return;
    this.#options = { ...this.#options, ...options };
    this.#stream = stream;
    this.#attempts = 0;
    this.#change({ kind: 'connecting' });
    void this.#begin();
  }

  /** Sends another track in the place of the one of its kind, without renegotiation where there was one. */
  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    for (const old of this.#stream?.getTracks() ?? []) {
      if (old.kind !== track.kind || old === track) continue;
      this.#stream?.removeTrack(old);
      track.enabled = old.enabled;
    }
    this.#stream?.addTrack(track);
    const session = this.#session;
    const sender = session?.pc.getTransceivers().find(({ receiver }) => receiver.track.kind === track.kind)?.sender;
    if (sender !== undefined) await sender.replaceTrack(track);
    else if (session !== undefined) await this.#begin();
  }

  /** Silences the microphone or blackens the picture, and tells the room. */
  mute(kind: 'audio' | 'video', muted: boolean): void {
    for (const track of this.#stream?.getTracks() ?? []) {
      if (track.kind === kind) track.enabled = !muted;
    }
    if (this.#session !== undefined) this.#room.request('rtc.mute', { kind, muted }).catch(() => {}); // Told again on return.
  }

  /** Reads the numbers of what is sent. */
  async stats(): Promise<PublisherStats | undefined> {
    const session = this.#session;
    return session && publisherStats(await session.pc.getStats() as unknown as Map<string, unknown>, session.meter);
  }

  /** Goes off the air for good; the room and the stream's tracks stay. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#stop) stop();
    if (this.#stream !== undefined) this.#end({ kind: 'idle' });
  }

  async #begin(): Promise<void> {
    const stream = this.#stream;
    if (stream === undefined || this.#room.connection !== 'joined') return;
    clearTimeout(this.#retry);
    this.#putAside();
    const pc = new RTCPeerConnection({ iceServers: this.#room.iceServers, bundlePolicy: 'max-bundle' });
    const session: Session = { id: undefined, pc, hasConnected: false, meter: new RateMeter(), timer: undefined };
    this.#session = session;
    pc.addEventListener('connectionstatechange', () => this.#handleConnection(session));
    this.#addTracks(pc, stream);
    try {
      await pc.setLocalDescription();
      // Sent before candidates are gathered: the server, which is ICE-lite, needs none.
      const { sessionId } = await this.#room.request('rtc.offer', { sdp: pc.localDescription?.sdp ?? '' });
      session.id = sessionId;
      if (session === this.#session) {
        const early = this.#early;
        if (early !== undefined && early.sessionId === sessionId) this.#handleSession(early);
        return;
      }
      // Stopped before the server had named it. Where the next one is on its way no word of farewell may end the event.
      if (this.#stream === undefined) this.#dismiss(session);
    } catch (thrown) {
      if (session === this.#session) this.#refuse(KliegError.from(thrown));
    }
  }

  #addTracks(pc: RTCPeerConnection, stream: MediaStream): void {
    const { codec = 'auto', maxVideoBitrateBps, layering = 'auto', redundantAudio = false } = this.#options;
    for (const track of stream.getAudioTracks()) {
      const transceiver = pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
      const sound = redundantAudio ? redundantFirst(RTCRtpSender.getCapabilities('audio')?.codecs ?? []) : undefined;
      if (sound !== undefined) transceiver.setCodecPreferences(sound);
      askForExtensions(transceiver);
    }
    const formats = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
    for (const track of stream.getVideoTracks()) {
      const first = codec === 'auto' ? formats[0]?.mimeType.replace(/^video\//i, '').toLowerCase() ?? '' : codec;
      const picked = layering === 'auto' ? pickLayering(first, track.getSettings?.() ?? {}, formats) : layering;
      const sendEncodings = encodings(picked, maxVideoBitrateBps, first === 'vp8' || first === 'h264');
      const transceiver = addVideo(pc, track, { direction: 'sendonly', streams: [stream], sendEncodings });
      if (codec !== 'auto') transceiver.setCodecPreferences(preferred(formats, codec));
      askForExtensions(transceiver);
    }
  }

  async #handleAnswer({ sessionId, sdp }: Description): Promise<void> {
    const session = this.#session;
    if (session === undefined || session.id !== sessionId) return;
    const { maxVideoBitrateBps } = this.#options;
    const start = maxVideoBitrateBps === undefined ? sdp : withStartBitrate(sdp, maxVideoBitrateBps * START_SHARE);
    try {
      await session.pc.setRemoteDescription({ type: 'answer', sdp: start });
    } catch (thrown) {
      if (session === this.#session) this.#refuse(KliegError.from(thrown));
    }
  }

  #handleConnection(session: Session): void {
    if (session !== this.#session) return;
    clearTimeout(session.timer);
    switch (session.pc.connectionState) {
      case 'connected':
        this.#attempts = 0;
        session.hasConnected = true;
        if (this.#former !== undefined) this.#former.timer = setTimeout(() => this.#endFormer(), FORMER_MS);
        this.#tellMuted();
        this.#change({ kind: 'live' });
        break;
      case 'disconnected':
        session.timer = setTimeout(() => this.#restart(session), RESTART_AFTER_MS);
        break;
      case 'failed':
        this.#restart(session);
    }
  }

  /** Looks for another path first; a session that stays dead is replaced. */
  #restart(session: Session): void {
    if (session !== this.#session || session.id === undefined) return;
    this.#lose();
    session.timer = setTimeout(() => {
      if (session === this.#session) void this.#begin();
    }, RENEW_AFTER_MS);
    const { pc, id: sessionId } = session;
    pc.createOffer({ iceRestart: true })
      .then((offer) => pc.setLocalDescription(offer))
      .then(() => this.#room.request('rtc.offer', { sessionId, sdp: pc.localDescription?.sdp ?? '' }))
      .catch(() => {}); // The timer replaces the session.
  }

  #handleSession(told: SessionState): void {
    const { sessionId, state, reason } = told;
    if (state === 'closed' && this.#former?.id === sessionId) this.#endFormer();
    if (state === 'closed' && this.#session !== undefined && this.#session.id === undefined) this.#early = told;
    if (state !== 'closed' || this.#session?.id !== sessionId || this.#stream === undefined) return;
    // Somebody went live elsewhere: two pages that each return would take turns without end.
    if (reason === 'replaced') return this.#end({ kind: 'refused', code: 'replaced' });
    this.#lose();
    this.#again(backoff(this.#attempts++));
  }

  /** The socket is there: the server knows nothing of a session that came over the last one. */
  #return(): void {
    const lost = this.#session === undefined || this.#status.kind === 'reconnecting';
    if (this.#stream !== undefined && lost) void this.#begin();
  }

  #refuse(error: KliegError): void {
    this.#drop();
    if (this.#stream === undefined || error.code === 'disconnected') return;
    if (error.code === 'busy' || error.code === 'rate_limited' || error.code === 'timeout') {
      this.#again(error.retryAfterMs ?? backoff(this.#attempts++));
    } else {
      this.#end({ kind: 'refused', code: error.code });
    }
  }

  #again(wait: number): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#begin(), wait);
  }

  /** Somebody else is about to join: what the one before publishes ends, so that the room is free. */
  #giveUp(): void {
    this.#room.releaseFormer();
    this.#lose();
  }

  #lose(): void {
    this.#change({ kind: 'reconnecting' });
  }

  #tellMuted(): void {
    for (const { kind, enabled } of this.#stream?.getTracks() ?? []) {
      if (!enabled) this.#room.request('rtc.mute', { kind: kind as 'audio' | 'video', muted: true }).catch(() => {});
    }
  }

  #end(status: PublisherStatus): void {
    this.#stream = undefined;
    clearTimeout(this.#retry);
    this.#drop();
    this.#endFormer();
    this.#change(status);
  }

  /** Makes room for the next session. What this one sends is shown until that has a picture; no word of farewell may end the event. */
  #putAside(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    clearTimeout(session.timer);
    if (!session.hasConnected) return session.pc.close(); // The room is shown the one before still, if there is one.
    this.#endFormer();
    this.#former = session;
  }

  #endFormer(): void {
    clearTimeout(this.#former?.timer);
    this.#former?.pc.close();
    this.#former = undefined;
  }

  #drop(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    clearTimeout(session.timer);
    if (session.id === undefined) session.pc.close();
    else this.#dismiss(session);
  }

  /** Goes silent at once and says so, and closes the connection when the server has heard it. */
  #dismiss({ id, pc }: Session): void {
    if (id === undefined) return;
    for (const sender of pc.getSenders()) sender.replaceTrack(null).catch(() => {}); // Closed already.
    // Closing says goodbye on the path of the media too, which may overtake the socket: a publisher that goes without
    // a word counts as lost, and viewers are told to wait for it.
    const timer = setTimeout(() => pc.close(), FAREWELL_MS);
    this.#room.request('rtc.close', { sessionId: id }).then(() => {
      clearTimeout(timer);
      pc.close();
    }, () => {}); // No answer: the timer closes it.
  }

  #change(status: PublisherStatus): void {
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    this.emit('status', status);
  }
}

/** Adds the picture, whole where the browser does not split it as asked: some refuse a mode that they do not know. */
function addVideo(pc: RTCPeerConnection, track: MediaStreamTrack, init: RTCRtpTransceiverInit): RTCRtpTransceiver {
  try {
    return pc.addTransceiver(track, init);
  } catch {
    const { maxBitrate } = init.sendEncodings?.at(-1) ?? {};
    return pc.addTransceiver(track, { ...init, sendEncodings: [maxBitrate === undefined ? {} : { maxBitrate }] });
  }
}
