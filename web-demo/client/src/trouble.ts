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
  if (dtls === 'failed') return 'dtls_failed';
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

  constructor(pc: RTCPeerConnection) {
    this.#pc = pc;
    pc.addEventListener('icecandidateerror', ({ url, errorCode }) => {
      const refused = errorCode >= REFUSALS.from && errorCode <= REFUSALS.to;
      this.#relayRefused ||= refused && /^turns?:/.test(url ?? '');
    });
  }

  /** Takes in the statistics of this moment. */
  read(report: ReadonlyMap<string, Record<string, unknown>>): void {
    for (const pair of report.values()) {
      if (pair['type'] !== 'candidate-pair') continue;
      const local = report.get(String(pair['localCandidateId']));
      this.#asked.add(local?.['candidateType'] === 'relay' ? 'relay' : String(local?.['protocol'] ?? 'udp'));
      // Firefox counts no answers.
      this.#answered ||= Number(pair['responsesReceived'] ?? 0) > 0 || pair['state'] === 'succeeded';
    }
  }

  /** Says what is wrong at this moment; `undefined` where it is not the way. */
  diagnose(): Trouble | undefined {
    return diagnose({
      asked: this.#asked, answered: this.#answered, relayRefused: this.#relayRefused,
      connection: this.#pc.connectionState, dtls: this.#pc.getReceivers()[0]?.transport?.state,
    });
  }
}

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
