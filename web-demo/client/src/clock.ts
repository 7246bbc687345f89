/** The server's clock, by the answers that come over the socket. */

/** Answers of which the quickest counts: some wait in the server for what they confirm. */
const KEPT_ANSWERS = 16;

interface Answer {
  roundTripMs: number;
  /** What has to be added to this machine's clock. */
  offsetMs: number;
}

export class ServerClock {
  #answers: Answer[] = [];

  /** Takes in when a request left and its answer came, by this machine's clock, and when the server wrote it; all in milliseconds. */
  sample(sentAt: number, receivedAt: number, serverAt: number): void {
    const roundTripMs = receivedAt - sentAt;
    this.#answers.push({ roundTripMs, offsetMs: serverAt + roundTripMs / 2 - receivedAt });
    if (this.#answers.length > KEPT_ANSWERS) this.#answers.shift();
  }

  /** The shortest of the last round trips; `undefined` before the first answer. */
  get roundTripMs(): number | undefined { return this.#quickest()?.roundTripMs; }

  /** What the server's clock says, in milliseconds since 1970; `undefined` before the first answer. It may be wrong by half of a round trip. */
  now(): number | undefined {
    const quickest = this.#quickest();
    return quickest && localNow() + quickest.offsetMs;
  }

  #quickest(): Answer | undefined {
    return this.#answers.reduce<Answer | undefined>((best, answer) => best !== undefined && best.roundTripMs <= answer.roundTripMs ? best : answer, undefined);
  }
}

/** This machine's clock, which nobody sets while the page is open. */
export function localNow(): number {
  return performance.timeOrigin + performance.now();
}
