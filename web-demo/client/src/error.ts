/** The one error type of the library. */

/** Why something was refused or failed; `code` is stable, docs/protocol.md lists those of the server. */
export class KliegError extends Error {
  override readonly name = 'KliegError';
  /** A code of the server, or `offline`, `disconnected`, `timeout`, `closed`, `queue_full` of the library. */
  readonly code: string;
  /** When to try again, where the server says so. */
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message = code, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** Wraps whatever was thrown. */
  static from(thrown: unknown): KliegError {
    if (thrown instanceof KliegError) return thrown;
    return new KliegError('internal', thrown instanceof Error ? thrown.message : String(thrown));
  }
}
