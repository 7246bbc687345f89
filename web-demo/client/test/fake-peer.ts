/** A peer connection without a network, and what else of WebRTC the library touches. */

import { vi } from 'vitest';

export class FakePeer extends EventTarget {
  static made: FakePeer[] = [];
  connectionState = 'new';
  localDescription: { sdp: string } | null = null;
  remote: { type: string; sdp: string }[] = [];
  closed = false;
  frames = 0;
  /** Pairs of candidates whose checks get no answer, by protocol; the one that works is there where this is empty. */
  unanswered: string[] = [];
  /** Packets that came because they were asked for again. */
  repaired = 0;
  /** When the frame was captured that is shown, in milliseconds since 1970; `undefined` where the browser does not tell. */
  shownAt: (() => number) | undefined;
  /** How long a frame waits before it is shown, in milliseconds. */
  waitMs = 0;

  constructor() {
    super();
    FakePeer.made.push(this);
  }

  static last(): FakePeer {
    return FakePeer.made.at(-1)!;
  }

  /** What was asked of each transceiver: the order of its codings. */
  preferences: string[][] = [];

  addTransceiver(): { setCodecPreferences(formats: { mimeType: string }[]): void } {
    return { setCodecPreferences: (formats) => this.preferences.push(formats.map(({ mimeType }) => mimeType)) };
  }

  /** Whether anything is sent. */
  sending = true;

  getSenders(): { replaceTrack(track: null): Promise<void> }[] {
    return [{ replaceTrack: async () => { this.sending = false; } }];
  }

  /** The picture's, as browsers have it that let a page choose how long frames wait. */
  receivers = [{ track: { kind: 'video' }, jitterBufferTarget: null as number | null }];

  getReceivers(): FakePeer['receivers'] {
    return this.receivers;
  }

  getTransceivers(): [] {
    return [];
  }

  async createOffer(options: { iceRestart?: boolean } = {}): Promise<{ sdp: string }> {
    return { sdp: options.iceRestart ? 'restart' : 'offer' };
  }

  async setLocalDescription(description?: { sdp: string }): Promise<void> {
    this.localDescription = description ?? { sdp: 'local' };
  }

  async setRemoteDescription(description: { type: string; sdp: string }): Promise<void> {
    if (description.sdp === 'broken') throw new Error('cannot be parsed');
    this.remote.push(description);
  }

  async getStats(): Promise<Map<string, unknown>> {
    if (this.unanswered.length > 0) return this.#checks();
    return new Map<string, unknown>([
      ['v', { type: 'inbound-rtp', kind: 'video', id: 'v', timestamp: 0, framesDecoded: this.frames, packetsReceived: this.frames * 4, retransmittedPacketsReceived: this.repaired, jitterBufferEmittedCount: this.frames, jitterBufferDelay: this.frames * this.waitMs / 1000, ...this.shownAt !== undefined && { estimatedPlayoutTimestamp: this.shownAt() + 2_208_988_800_000 } }],
      ['p', { type: 'candidate-pair', id: 'p', timestamp: 0, nominated: true, state: 'succeeded', currentRoundTripTime: 0.1 }],
    ]);
  }

  #checks(): Map<string, unknown> {
    return new Map<string, unknown>(this.unanswered.flatMap((protocol) => [
      [`l${protocol}`, { type: 'local-candidate', id: `l${protocol}`, timestamp: 0, protocol, candidateType: 'host' }],
      [`p${protocol}`, { type: 'candidate-pair', id: `p${protocol}`, timestamp: 0, state: 'in-progress', localCandidateId: `l${protocol}`, responsesReceived: 0 }],
    ]));
  }

  become(state: string): void {
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  close(): void {
    this.closed = true;
  }
}

class FakeStream {
  tracks: { kind: string; enabled: boolean }[] = [];
  addTrack(track: { kind: string; enabled: boolean }): void { this.tracks.push(track); }
  getTracks(): { kind: string; enabled: boolean }[] { return this.tracks; }
  getAudioTracks(): { kind: string }[] { return this.tracks.filter(({ kind }) => kind === 'audio'); }
  getVideoTracks(): { kind: string }[] { return this.tracks.filter(({ kind }) => kind === 'video'); }
}

/** Puts the fakes in the place of the browser's. */
export function fakeWebRtc(): void {
  FakePeer.made = [];
  vi.stubGlobal('RTCPeerConnection', FakePeer);
  vi.stubGlobal('RTCRtpSender', { getCapabilities: () => ({ codecs: [] }) });
  vi.stubGlobal('MediaStream', FakeStream);
}

/** A camera and a microphone. */
export function camera(): MediaStream {
  const stream = new FakeStream();
  stream.addTrack({ kind: 'audio', enabled: true });
  stream.addTrack({ kind: 'video', enabled: true });
  return stream as unknown as MediaStream;
}
