/** Why a viewer sees nothing, from what the browser says of its connection. */

import type { Trouble } from './protocol.js';

/** A relay's own answers (RFC 8489, section 14.8); 701 is the browser's, for one that does not answer. */
const REFUSALS = { from: 300, to: 699 };

/** What is known of the way to the server. */
export interface Way {
  /** By what answers were asked for: `udp`, `tcp`, or `relay` where one is between. */
  asked: ReadonlySet<string>;
  /** Whether any answer came. */
  answered: boolean;
  /** A relay answered that it would not serve. */
  relayRefused: boolean;
  /** States of the browser; `undefined` where it does not tell. */
  connection: RTCPeerConnectionState | undefined;
  dtls: RTCDtlsTransportState | undefined;
}

/** Says what is wrong with a way by which no picture comes; `undefined` where it is not the way. */
export function diagnose({ asked, answered, relayRefused, connection, dtls }: Way): Trouble | undefined {
  if (connection === 'connected') return undefined;
  // Firefox calls encryption failed, too, where it never began because no check was answered.
  if (dtls === 'failed' && answered) return 'dtls_failed';
  if (answered) return 'ice_failed';
  if (relayRefused) return 'turn_refused';
  if (asked.has('tcp') || asked.has('relay')) return 'blocked';
  return asked.has('udp') ? 'no_udp' : undefined;
}

/** Gathers what a connection says of its way: browsers forget pairs of candidates that failed. */
export class WayFinder {
  #pc: RTCPeerConnection;
  #asked = new Set<string>();
  #answered = false;
  #relayRefused = false;
  /** Checks sent by UDP beside the pair that is in use. */
  #direct = 0;
  #detour: Detour | undefined;

  constructor(pc: RTCPeerConnection) {
    this.#pc = pc;
    pc.addEventListener('icecandidateerror', ({ url, errorCode }) => {
      const refused = errorCode >= REFUSALS.from && errorCode <= REFUSALS.to;
      this.#relayRefused ||= refused && /^turns?:/.test(url ?? '');
    });
  }

  /** Which way round packets go at present; `undefined` where they go straight, by UDP, or nobody can tell. */
  get detour(): Detour | undefined { return this.#detour; }

  /** Takes in the statistics of this moment. */
  read(report: ReadonlyMap<string, Record<string, unknown>>): void {
    const selected = [...report.values()].find(({ type }) => type === 'transport')?.['selectedCandidatePairId'];
    let direct = 0;
    let taken: string | undefined;
    for (const [id, pair] of report) {
      if (pair['type'] !== 'candidate-pair') continue;
      const local = report.get(String(pair['localCandidateId']));
      const way = local?.['candidateType'] === 'relay' ? 'relay' : String(local?.['protocol'] ?? 'udp');
      this.#asked.add(way);
      // Firefox counts no answers.
      this.#answered ||= Number(pair['responsesReceived'] ?? 0) > 0 || pair['state'] === 'succeeded';
      if (id === selected) taken = way;
      else if (way === 'udp') direct += Number(pair['requestsSent'] ?? 0);
    }
    const isRound = taken !== undefined && taken !== 'udp';
    this.#detour = isRound ? { triesDirect: direct > this.#direct } : undefined;
    this.#direct = direct;
  }

  /** Says what is wrong at this moment; `undefined` where it is not the way. */
  diagnose(): Trouble | undefined {
    return diagnose({
      asked: this.#asked, answered: this.#answered, relayRefused: this.#relayRefused,
      connection: this.#pc.connectionState, dtls: this.#pc.getReceivers()[0]?.transport?.state,
    });
  }
}

/** Packets go by TCP or through a relay. */
export interface Detour {
  /** Whether the browser still sends checks by UDP, and so finds out by itself once that passes. */
  triesDirect: boolean;
}

/** Says when to look for a straight way again: Firefox keeps the pair that it chose first, and Chromium soon gives up those that get no answer. */
export class WayBack {
  /** When the detour began, or a way was looked for last; `undefined` where there is none. */
  #since: number | undefined;
  #tried = 0;

  /** Takes in how packets go at `now` (milliseconds); returns whether to restart ICE (RFC 8445, section 9), which begins with all pairs anew. */
  sample(now: number, detour: Detour | undefined): boolean {
    if (detour === undefined) {
      // A restart takes a moment in which there is no pair.
      if (this.#since !== undefined && now - this.#since > SETTLED_MS) this.#since = undefined;
      if (this.#since === undefined) this.#tried = 0;
      return false;
    }
    if (detour.triesDirect || this.#since === undefined) {
      this.#since = now;
      return false;
    }
    if (now - this.#since < Math.min(LONGEST_LOOK_MS, FIRST_LOOK_MS * 3 ** this.#tried)) return false;
    this.#since = now;
    this.#tried++;
    return true;
  }
}

const FIRST_LOOK_MS = 10_000;
const LONGEST_LOOK_MS = 600_000;
const SETTLED_MS = 5_000;

/** What is told to the server, each reason once until a picture comes again, and one at a time. */
export class Complaints {
  #told = new Set<Trouble>();
  #untold = new Set<Trouble>();
  #dueAt = 0;

  /** Something is wrong that is to be told. */
  add(trouble: Trouble): void {
    if (!this.#told.has(trouble)) this.#untold.add(trouble);
  }

  /** Nothing is wrong any more: it is told again when it comes back. */
  forget(): void {
    this.#told.clear();
  }

  /** Returns what to tell at `now` (milliseconds), at most as often as the server takes; it counts as told. */
  next(now: number): Trouble | undefined {
    const [trouble] = this.#untold;
    if (trouble === undefined || now < this.#dueAt) return undefined;
    this.#dueAt = now + TELL_EVERY_MS;
    this.#untold.delete(trouble);
    this.#told.add(trouble);
    return trouble;
  }

  /** It did not arrive. */
  putBack(trouble: Trouble): void {
    this.#told.delete(trouble);
    this.#untold.add(trouble);
  }
}

/** The server takes one in five seconds by its own clock. */
const TELL_EVERY_MS = 5_500;
