/** The REST calls that come before a room: settings, sign-in, the list of rooms. */

import { KliegError } from './error.js';
import type {
  Analytics, Audience, ChatMessage, ChatSettingsPatch, CreatedRoom, HeldMessage, Ingest, JoinToken, Likes, Limit, ModeratorSettings, NewProduct, NewRoom, OwnPoll, OwnQuestion, Page, Product, ProductPatch, Report,
  RoomInfo, RoomPatch, RoomStatus, ServerConfig, SignIn, TimeSeries,
} from './protocol.js';

const ANSWER_WITHIN_MS = 10_000;

const BEARER_REFUSED = new Set(['token_expired', 'token_invalid']);

/** Which rooms to list. */
export interface RoomQuery {
  status?: RoomStatus;
  /** Words of the title, the host's name, the category or the description. */
  q?: string;
  category?: string;
  /** Id of the host. */
  owner?: string;
  /** `active` where it is left out: on air first, then those to come, then those that are over. */
  sort?: 'active' | 'newest' | 'popular' | 'soonest';
  limit?: number;
  cursor?: string;
}

/** Returns the bearer of a call, `undefined` for a guest; `refused` is the one that the server did not take. */
export type BearerSource = (refused?: string) => string | undefined | Promise<string | undefined>;

/** One server, as one identity or as a guest. */
export class Api {
  /** The server's, such as `https://live.example`. */
  readonly origin: URL;
  #base: URL;
  /** `undefined` for a guest. */
  #bearer: BearerSource | undefined;

  constructor(origin: string | URL, bearer?: BearerSource) {
    this.origin = new URL(origin);
    this.#base = new URL('/api/v1/', origin);
    this.#bearer = bearer;
  }

  /** Where the WebSocket of this server is. */
  get socketUrl(): URL {
    const url = new URL('/ws', this.#base);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    return url;
  }

  config(): Promise<ServerConfig> {
    return this.request('GET', 'config');
  }

  /** Signs in; a server for development takes a name alone. */
  signIn(username: string, password?: string): Promise<SignIn> {
    return this.request('POST', 'auth/login', password === undefined ? { username } : { username, password });
  }

  /** Makes an account and signs it in. */
  register(username: string, password: string): Promise<SignIn> {
    return this.request('POST', 'auth/register', { username, password });
  }

  /** Changes a refresh token for new tokens; it is good once. */
  refresh(refreshToken: string): Promise<SignIn> {
    return this.request('POST', 'auth/refresh', { refreshToken });
  }

  /** Ends the sign-in that the bearer came of, or every one of its account. */
  signOut(everywhere: boolean): Promise<void> {
    return this.request('POST', 'auth/logout', { everywhere });
  }

  /** Changes the bearer's password; every other sign-in of the account ends. */
  changePassword(password: string, newPassword: string): Promise<SignIn> {
    return this.request('PUT', 'me/password', { password, newPassword });
  }

  /** Lists rooms: all, those on air, or those whose event is over. */
  rooms(query: RoomQuery = {}, which: 'all' | 'live' | 'past' = 'all'): Promise<Page<RoomInfo>> {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return this.request('GET', `rooms${which === 'all' ? '' : `/${which}`}?${search}`);
  }

  /** What to watch next: rooms of the same host and category first, then others on air. */
  related(id: string): Promise<Page<RoomInfo>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/related`);
  }

  room(id: string): Promise<RoomInfo> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}`);
  }

  createRoom(room: NewRoom): Promise<CreatedRoom> {
    return this.request('POST', 'rooms', room);
  }

  /** Returns a token for one room; without a bearer, a guest's. */
  join(id: string): Promise<JoinToken> {
    return this.request('POST', `rooms/${encodeURIComponent(id)}/join`, {});
  }

  /** Changes a room; for its owner. */
  editRoom(id: string, patch: RoomPatch): Promise<RoomInfo> {
    return this.request('PATCH', `rooms/${encodeURIComponent(id)}`, patch);
  }

  /**
   * Gives a room a picture, of JPEG, PNG or WebP, in place of the one before; for its owner. `live`: what it shows at present, kept for two
   * minutes; for codings of which the server makes no picture itself, which are all but VP8.
   */
  sendThumbnail(id: string, picture: Blob, live = false): Promise<void> {
    return this.request('POST', `rooms/${encodeURIComponent(id)}/thumbnail${live ? '?live=true' : ''}`, picture);
  }

  /** Fetches the picture at a room's `thumbnailUrl`, for those that an image's own request, which shows no token, would not get; `undefined` where there is none. */
  thumbnail(url: string): Promise<Blob | undefined> {
    return this.request('GET', url);
  }

  /** Where encoders publish into a room; for its owner. */
  ingest(id: string): Promise<Ingest> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/ingest`);
  }

  /** Makes a new stream key, which this answer alone tells; older ones open nothing any more. */
  changeStreamKey(id: string): Promise<Ingest> {
    return this.request('POST', `rooms/${encodeURIComponent(id)}/ingest/rotate`, {});
  }

  /** Returns lines of the chat that are older than a number, the newest first. */
  chat(id: string, before: number): Promise<Page<ChatMessage>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/chat?before=${before}&limit=100`);
  }

  /** How a chat is set; for moderators. */
  chatSettings(id: string): Promise<ModeratorSettings> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/chat-settings`);
  }

  /** Sets a chat; for moderators. */
  setChat(id: string, patch: ChatSettingsPatch): Promise<void> {
    return this.request('PATCH', `rooms/${encodeURIComponent(id)}/chat-settings`, patch);
  }

  /** What waits for a moderator, oldest first. */
  held(id: string): Promise<Page<HeldMessage>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/held`);
  }

  /** What the moderators were told, the last first. */
  reports(id: string): Promise<Page<Report>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/reports`);
  }

  /** Has done with a report. */
  resolve(id: string, reportId: string): Promise<void> {
    return this.request('DELETE', `rooms/${encodeURIComponent(id)}/reports/${encodeURIComponent(reportId)}`);
  }

  /** Follows the host of a room, or no more. */
  follow(id: string, follows: boolean): Promise<void> {
    return this.request(follows ? 'PUT' : 'DELETE', `rooms/${encodeURIComponent(id)}/follow`);
  }

  /** Whether the bearer likes a room, and how many do. */
  likes(id: string): Promise<Likes> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/like`);
  }

  /** Who is in a room, from behind one person on. */
  audience(id: string, cursor = ''): Promise<Audience> {
    const after = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    return this.request('GET', `rooms/${encodeURIComponent(id)}/viewers?limit=100${after}`);
  }

  /** The polls of a room, the last first. */
  polls(id: string): Promise<Page<OwnPoll>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/polls`);
  }

  /** What a room was asked: what is not answered first. */
  questions(id: string): Promise<Page<OwnQuestion>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/questions`);
  }

  /** Who may not write, or not enter; for moderators. */
  limits(id: string, kind: 'mutes' | 'bans'): Promise<Page<Limit>> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/${kind}`);
  }

  /** Lets somebody write or enter again. */
  lift(id: string, kind: 'mutes' | 'bans', identity: string): Promise<void> {
    return this.request('DELETE', `rooms/${encodeURIComponent(id)}/${kind}?identity=${encodeURIComponent(identity)}`);
  }

  /** Adds a product behind the others; this and what follows is for those who sell in the room. */
  addProduct(id: string, product: NewProduct): Promise<Product> {
    return this.request('POST', `rooms/${encodeURIComponent(id)}/products`, product);
  }

  editProduct(id: string, productId: string, patch: ProductPatch): Promise<Product> {
    return this.request('PATCH', `rooms/${encodeURIComponent(id)}/products/${encodeURIComponent(productId)}`, patch);
  }

  removeProduct(id: string, productId: string): Promise<void> {
    return this.request('DELETE', `rooms/${encodeURIComponent(id)}/products/${encodeURIComponent(productId)}`);
  }

  /** Puts the products into the order of their ids. */
  arrangeProducts(id: string, ids: string[]): Promise<void> {
    return this.request('PUT', `rooms/${encodeURIComponent(id)}/products/order`, { ids });
  }

  /** The figures of a room's last event; this and what follows is for admins, the room's owner and co-hosts. */
  analytics(id: string): Promise<Analytics> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/analytics`);
  }

  /** The minutes of a room's last event, a day of them from one on. */
  analyticsMinutes(id: string, from?: string): Promise<TimeSeries> {
    const query = from === undefined ? '' : `?from=${encodeURIComponent(from)}`;
    return this.request('GET', `rooms/${encodeURIComponent(id)}/analytics/timeseries${query}`);
  }

  /** The same as a sheet (CSV). */
  analyticsSheet(id: string): Promise<string> {
    return this.request('GET', `rooms/${encodeURIComponent(id)}/analytics.csv`);
  }

  /** Calls a route that has no method of its own here, such as `GET` `admin/nodes`; docs/openapi.json has them all. */
  async request<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const bearer = await this.#bearer?.();
    try {
      return await this.#send(method, path, body, bearer);
    } catch (thrown) {
      const error = KliegError.from(thrown);
      if (bearer === undefined || !BEARER_REFUSED.has(error.code)) throw error;
      // It was carried out for nobody: once more with another, or as a guest.
      const next = await this.#bearer?.(bearer);
      if (next === bearer) throw error;
      return await this.#send(method, path, body, next);
    }
  }

  async #send<Answer>(method: string, path: string, body: object | undefined, bearer: string | undefined): Promise<Answer> {
    const headers: Record<string, string> = { accept: 'application/json, text/csv, image/*' };
    if (bearer !== undefined) headers['authorization'] = `Bearer ${bearer}`;
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) };
    if (body !== undefined) {
      const isBlob = body instanceof Blob;
      headers['content-type'] = isBlob ? body.type : 'application/json';
      init.body = isBlob ? body : JSON.stringify(body);
    }
    let response: Response;
    try {
      response = await fetch(new URL(path, this.#base), init);
    } catch {
      throw new KliegError('offline');
    }
    if (!response.ok) throw await problem(response);
    if (response.status === 204) return undefined as Answer;
    const type = response.headers.get('content-type') ?? '';
    if (type.startsWith('image/')) return await response.blob() as Answer;
    return (type.startsWith('text/') ? await response.text() : await response.json()) as Answer;
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
