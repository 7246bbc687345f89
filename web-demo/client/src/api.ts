/** The REST calls that come before a room: settings, sign-in, the list of rooms. */

import { KliegError } from './error.js';
import type { JoinToken, Page, RoomInfo, RoomStatus, ServerConfig, SignIn, Visibility } from './protocol.js';

const ANSWER_WITHIN_MS = 10_000;

/** Which rooms to list. */
export interface RoomQuery {
  status?: RoomStatus;
  /** Words of the title or the host's name. */
  q?: string;
  limit?: number;
  cursor?: string;
}

/** A room to be made. */
export interface NewRoom {
  title: string;
  visibility?: Visibility;
  allowGuestChat?: boolean;
  /** Whether the room waits for another event when one has ended. */
  reusable?: boolean;
}

/** A room just made, with the secret that is shown once. */
export type CreatedRoom = RoomInfo & { ingest: { streamKey: string } };

/** One server, as one identity or as a guest. */
export class Api {
  #base: URL;
  /** Bearer of the calls; `undefined` for a guest. */
  #token: (() => string | undefined) | undefined;

  /** `origin` is the server's, such as `https://live.example`. */
  constructor(origin: string | URL, token?: () => string | undefined) {
    this.#base = new URL('/api/v1/', origin);
    this.#token = token;
  }

  /** Where the WebSocket of this server is. */
  get socketUrl(): URL {
    const url = new URL('/ws', this.#base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    return url;
  }

  config(): Promise<ServerConfig> {
    return this.#call('GET', 'config');
  }

  signIn(username: string): Promise<SignIn> {
    return this.#call('POST', 'auth/login', { username });
  }

  rooms(query: RoomQuery = {}): Promise<Page<RoomInfo>> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.#call('GET', `rooms?${search}`);
  }

  room(id: string): Promise<RoomInfo> {
    return this.#call('GET', `rooms/${encodeURIComponent(id)}`);
  }

  createRoom(room: NewRoom): Promise<CreatedRoom> {
    return this.#call('POST', 'rooms', room);
  }

  /** Returns a token for one room; without a bearer, a guest's. */
  join(id: string): Promise<JoinToken> {
    return this.#call('POST', `rooms/${encodeURIComponent(id)}/join`, {});
  }

  async #call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const headers: Record<string, string> = { accept: 'application/json' };
    const token = this.#token?.();
    if (token !== undefined) headers['authorization'] = `Bearer ${token}`;
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) };
    if (body !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    let response: Response;
    try {
      response = await fetch(new URL(path, this.#base), init);
    } catch {
      throw new KliegError('offline');
    }
    if (!response.ok) throw await problem(response);
    return await response.json() as Answer;
  }
}

/** Reads problem details (RFC 9457); a proxy in between may have answered without any. */
async function problem(response: Response): Promise<KliegError> {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterMs = Number.isFinite(retryAfter) ? retryAfter * 1000 : undefined;
  const details = await response.json().catch(() => ({})) as { code?: string; detail?: string; title?: string };
  const code = details.code ?? (response.status === 404 ? 'not_found' : response.status >= 500 ? 'internal' : 'bad_message');
  return new KliegError(code, details.detail ?? details.title ?? `HTTP ${response.status}`, retryAfterMs);
}
