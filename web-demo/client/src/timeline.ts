/** Lets what happened in a room wait for the frame that was captured as it happened, so that viewers see both together. */

/** Nothing waits longer, however old the picture is: what is that late matters less than that it comes. */
const LONGEST_WAIT_MS = 10_000;
/** How old the picture is may change while something waits. */
const LOOK_EVERY_MS = 250;
/** What waits beyond so many of a kind is not kept: the oldest is applied. */
const MOST_WAITING = 500;

/** What waits in one order: no later one of a kind is applied before an earlier one. */
export type Kind = 'products' | 'poll' | 'chat';

interface Waiting {
  /** By the server's clock. */
  capturedAt: number;
  /** When it is applied at the latest, by the clock of the page. */
  latest: number;
  name: string | undefined;
  act: () => void;
}

/** The events of one room on their way to the page. */
export class Timeline {
  /** Says when the frame was captured that is shown now, in milliseconds since 1970 by the server's clock; `undefined` while none is, or it is not known. */
  #shown: () => number | undefined;
  /** The clock of the page, in milliseconds. */
  #now: () => number;
  #waiting = new Map<Kind, Waiting[]>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(shown: () => number | undefined, now: () => number = () => performance.now()) {
    this.#shown = shown;
    this.#now = now;
  }

  /**
   * Does something when the frame is shown that was captured at `capturedAt`: at once where that was shown already, where
   * no picture is, or where the event has no time and nothing of its kind waits. By its `name` it can be dropped.
   */
  apply(kind: Kind, capturedAt: number | undefined, act: () => void, name?: string): void {
    const waiting = this.#waiting.get(kind) ?? [];
    if (capturedAt === undefined && waiting.length === 0) return act();
    waiting.push({ capturedAt: capturedAt ?? -Infinity, latest: this.#now() + LONGEST_WAIT_MS, name, act });
    this.#waiting.set(kind, waiting);
    if (waiting.length > MOST_WAITING) waiting.shift()!.act();
    this.#advance();
  }

  /** Drops what waits by this name; returns whether something did. */
  drop(kind: Kind, name: string): boolean {
    const waiting = this.#waiting.get(kind) ?? [];
    const kept = waiting.filter((one) => one.name !== name);
    this.#waiting.set(kind, kept);
    return kept.length < waiting.length;
  }

  /** Drops all that waits: what is told next makes up for it, or nobody is there any more. */
  clear(): void {
    this.#waiting.clear();
    clearTimeout(this.#timer);
  }

  /** Does what is due, and looks again in time for the next. */
  #advance(): void {
    for (const kind of this.#waiting.keys()) {
      // Looked up each time: what is done may add something, or end everything.
      for (let first = this.#first(kind); first !== undefined && this.#left(first) <= 0; first = this.#first(kind)) {
        this.#waiting.get(kind)!.shift();
        first.act();
      }
    }
    clearTimeout(this.#timer);
    const waits = [...this.#waiting.keys()].flatMap((kind) => this.#first(kind) ?? []).map((first) => this.#left(first));
    if (waits.length > 0) this.#timer = setTimeout(() => this.#advance(), Math.min(...waits, LOOK_EVERY_MS));
  }

  #first(kind: Kind): Waiting | undefined {
    return this.#waiting.get(kind)?.[0];
  }

  /** Returns for how long something still waits as things stand, in milliseconds. */
  #left({ capturedAt, latest }: Waiting): number {
    const shown = this.#shown();
    return shown === undefined ? 0 : Math.min(capturedAt - shown, latest - this.#now());
  }
}
