/** A room as one participant sees it: the socket, its return after a loss, and the events that come over it. */

import { backoff } from './backoff.js';
import { ServerClock } from './clock.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import { SUBPROTOCOL } from './protocol.js';
import type {
  Ack, Attendance, Captured, ChatMessage, ChatSettings, ClientMessages, Description, HeldMessage, Layers, LiveAnalytics, Order, Poll, Product, Products, PublisherState, Question, Report, RoomInfo, RoomStats, ServerMessages,
  SessionState, Snapshot, Trouble, You,
} from './protocol.js';
import { Timeline } from './timeline.js';
import type { Kind } from './timeline.js';
import { Wire } from './wire.js';
import type { ServerMessage } from './wire.js';

/** After this long in a room, a loss counts as the first. */
const STABLE_AFTER_MS = 10_000;

/** How long the connection before is kept beside its successor, for the picture that hangs on it. */
const FORMER_MS = 5_000;

/** A token that the server sent is not used in its last moments: it has to hold when it arrives. */
const ARRIVES_WITHIN_MS = 5_000;

/** One failure proves nothing: as many in a row are told as trouble. */
const FAILURES = 2;

/** Answers that no further attempt can change. */
const FINAL_CODES = new Set(['banned', 'not_found', 'forbidden', 'unauthenticated', 'token_invalid', 'token_expired']);

/** Where the connection with the room is. */
export type Connection =
  | 'idle' | 'connecting' | 'joined' | 'reconnecting' | 'closed'
  /** Joining as somebody else; what hangs on the connection before goes on meanwhile. */
  | 'rejoining';

/** Returns a token for this room; `renew` asks for another one than before, which was refused or ran out. */
export type TokenSource = (renew: boolean) => Promise<string>;

/** How to reach a room. */
export interface RoomOptions {
  /** `wss://host/ws` */
  url: string | URL;
  roomId: string;
  token: TokenSource;
  /** Opens a socket, for places without a global `WebSocket`. */
  socket?: (url: string | URL, protocol: string) => WebSocket;
}

/** What a `Room` tells. */
export interface RoomEvents {
  /** The connection changed; `error` says why it ended for good. */
  connection: { connection: Connection; error?: KliegError };
  /** The socket is open and the join on its way: what is requested now is carried out right after it. */
  open: void;
  /** The room as it is, at first and whenever too much was missed. */
  joined: Snapshot;
  /** The connection is back and the events in between were told. */
  resumed: void;
  info: RoomInfo;
  publisher: PublisherState;
  stats: RoomStats;
  /** For those who may see the figures of the audience: once a second while an event is on. */
  analytics: LiveAnalytics;
  message: ChatMessage;
  /** What a moderator took away. */
  deleted: { messageId: string };
  /** What everybody sees first; `null` for nothing. */
  pinned: ChatMessage | null;
  chatSettings: ChatSettings;
  /** What this participant may do now. */
  you: You;
  /** For moderators: a line that waits for one, and what became of it. */
  held: HeldMessage;
  reviewed: { heldId: string; approved: boolean };
  /** For moderators: what was reported, and what is done with. */
  report: Report;
  resolved: { reportId: string };
  /** What the room sells, at first and after each change. */
  products: Products;
  /** Somebody bought something. */
  order: Order;
  /** The last poll, at first and as its votes come. */
  poll: Poll;
  /** A question that is new or another. */
  question: Question;
  questionRemoved: { questionId: string };
  /** For moderators: somebody came or went. */
  came: Attendance;
  went: Attendance;
  reactions: Record<string, number>;
  offer: Description;
  answer: Description;
  layers: Layers;
  session: SessionState;
}

/** Keeps one participant in one room until `close`. */
export class Room extends Emitter<RoomEvents> {
  #options: RoomOptions;
  /** The server's clock, known from the first answer on. */
  readonly clock = new ServerClock();
  /** The socket in use; `undefined` between two. */
  #wire: Wire | undefined;
  /** The one before a `rejoin`, until `releaseFormer`; `undefined` at all other times. */
  #former: Wire | undefined;
  #formerTimer: ReturnType<typeof setTimeout> | undefined;
  #connection: Connection = 'idle';
  #snapshot: Snapshot | undefined;
  #products: Products = { list: [], featuredId: null };
  /** What waits for the frame that was captured as it happened. */
  #timeline = new Timeline(() => this.#shownAt?.());
  /** Says which frame is shown; `undefined` where nobody watches. */
  #shownAt: (() => number | undefined) | undefined;
  /** Set when the show that was on is over, by the host or because the host did not return; unset by the next. */
  #ended = false;
  /** Number of the last event seen; `undefined` asks for a snapshot. */
  #lastSeq: number | undefined;
  /** Losses since the connection was last stable. */
  #losses = 0;
  #joinedAt = 0;
  /** What keeps us out; `undefined` once joined, and until it has failed for some times. */
  #trouble: Trouble | undefined;
  /** Sockets in a row that did not open, and joins in a row for which there was no room. */
  #unopened = 0;
  #crowded = 0;
  /** When the server that is about to stop wants us back. */
  #drainMs: number | undefined;
  /** The token was refused once: the next is asked for anew. */
  #renew = false;
  /** What the server sent last to come back with; `undefined` before, once it was refused, and for somebody else. */
  #sent: { token: string; expiresAt: string } | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RoomOptions) {
    super();
    this.#options = options;
  }

  get id(): string { return this.#options.roomId; }
  get connection(): Connection { return this.#connection; }
  get info(): RoomInfo | undefined { return this.#snapshot?.room; }
  get publisher(): PublisherState | undefined { return this.#snapshot?.publisher; }
  get stats(): RoomStats | undefined { return this.#snapshot?.stats; }
  get you(): You | undefined { return this.#snapshot?.you; }
  /** What keeps us out at present, as far as is known. */
  get trouble(): Trouble | undefined { return this.#trouble; }
  /** Whether a show was on since we came and is over, or was over before. */
  get ended(): boolean { return this.#ended || isOver(this.#snapshot?.room.status); }
  get iceServers(): RTCIceServer[] { return this.#snapshot?.iceServers ?? []; }

  /** Connects and joins. */
  open(): void {
    if (this.#connection !== 'idle') return;
    this.#change('connecting');
    this.#connect();
  }

  /** Sends a request over the present socket. */
  request<Type extends keyof ClientMessages>(t: Type, d: ClientMessages[Type], id?: string): Promise<Ack> {
    return this.#wire?.request(t, d, id) ?? Promise.reject(new KliegError('disconnected'));
  }

  /** Cuts a wait short: the network is back. */
  retryNow(): void {
    if (this.#connection !== 'reconnecting' || this.#wire !== undefined) return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  /** Joins again as whoever the token source now names. The connection before is kept for a while, so that its picture goes on. */
  rejoin(): void {
    if (this.#connection === 'idle') return;
    clearTimeout(this.#timer);
    this.releaseFormer();
    const wire = this.#wire;
    this.#wire = undefined;
    const joined = this.#connection === 'joined';
    if (joined) {
      this.#former = wire;
      this.#formerTimer = setTimeout(() => this.releaseFormer(), FORMER_MS);
    } else {
      wire?.close();
    }
    this.#lastSeq = undefined;
    this.#renew = false;
    this.#sent = undefined;
    this.#trouble = undefined;
    this.#change(joined ? 'rejoining' : this.#snapshot === undefined ? 'connecting' : 'reconnecting');
    this.#connect();
  }

  /** Ends the connection that was before a `rejoin`, with the media that hangs on it. */
  releaseFormer(): void {
    clearTimeout(this.#formerTimer);
    const former = this.#former;
    this.#former = undefined;
    former?.close();
  }

  /**
   * Has what happens wait for its frame, until the function returned is called: `shownAt` says when the one was captured
   * that is shown, by the server's clock. A `Viewer` does so itself.
   */
  follow(shownAt: () => number | undefined): () => void {
    this.#shownAt = shownAt;
    return () => {
      if (this.#shownAt === shownAt) this.#shownAt = undefined;
    };
  }

  /** Leaves for good. */
  close(): void {
    this.#end();
  }

  #connect(): void {
    const { url, socket = (to, protocol) => new WebSocket(to, protocol) } = this.#options;
    const wire = new Wire(socket(url, SUBPROTOCOL), this.clock);
    this.#wire = wire;
    const opened = new Promise<void>((resolve) => wire.on('open', resolve));
    let hasOpened = false;
    wire.on('open', () => { hasOpened = true; });
    wire.on('message', (message) => {
      if (wire === this.#wire) this.#handle(message);
    });
    wire.on('closed', () => this.#lose(wire, hasOpened));
    // The token is fetched while the socket opens.
    Promise.all([this.#token(), opened])
      .then(([value]) => this.#enter(wire, value))
      .catch((thrown: unknown) => this.#refuse(wire, KliegError.from(thrown)));
  }

  async #token(): Promise<string> {
    const sent = this.#sent;
    if (sent !== undefined && Date.parse(sent.expiresAt) > Date.now() + ARRIVES_WITHIN_MS) return sent.token;
    this.#sent = undefined;
    return await this.#options.token(this.#renew);
  }

  async #enter(wire: Wire, token: string): Promise<void> {
    if (wire !== this.#wire) return;
    const roomId = this.#options.roomId;
    const lastSeq = this.#lastSeq;
    const answers = Promise.all([
      wire.request('auth', { token }),
      lastSeq === undefined ? wire.request('join', { roomId }) : wire.request('resume', { roomId, lastSeq }),
    ]);
    this.emit('open', undefined);
    const [, { seq }] = await answers;
    if (wire !== this.#wire) return;
    this.#renew = false;
    this.#trouble = undefined;
    this.#crowded = 0;
    this.#joinedAt = Date.now();
    this.#drainMs = undefined;
    if (this.#connection !== 'joined') this.#change('joined');
    if (lastSeq !== undefined && seq !== undefined) {
      this.#lastSeq = Math.max(this.#lastSeq ?? 0, seq);
      this.emit('resumed', undefined);
      this.#refreshStats(wire);
    }
  }

  /** Numbers are no events: what changed meanwhile has to be asked for. */
  #refreshStats(wire: Wire): void {
    wire.request('stats', {}).then(
      ({ viewerCount = 0, likes = 0, peak = 0 }) => this.#setStats({ viewerCount, likes, peak }),
      () => {}, // The next `stats` brings them.
    );
  }

  #refuse(wire: Wire, error: KliegError): void {
    if (wire !== this.#wire) return;
    const tokenRefused = error.code === 'token_expired' || error.code === 'token_invalid';
    if (error.code === 'busy' && ++this.#crowded >= FAILURES) this.#trouble = 'full';
    if (tokenRefused && !this.#renew) {
      // What the server sent is not what the source has: that may be as good as ever.
      this.#renew = this.#sent === undefined;
      this.#sent = undefined;
      wire.close();
    } else if (FINAL_CODES.has(error.code)) {
      if (tokenRefused) this.#trouble = 'token';
      this.#end(error);
    } else {
      wire.close();
    }
  }

  #lose(wire: Wire, hasOpened: boolean): void {
    if (wire !== this.#wire) return;
    // Without any network it is neither the server nor the way to it.
    this.#unopened = hasOpened || globalThis.navigator?.onLine === false ? 0 : this.#unopened + 1;
    if (this.#unopened >= FAILURES) this.#trouble = 'unreachable';
    else if (this.#trouble === 'unreachable') this.#trouble = undefined;
    this.#wire = undefined;
    if (this.#joinedAt > 0 && Date.now() - this.#joinedAt > STABLE_AFTER_MS) this.#losses = 0;
    this.#joinedAt = 0;
    const wait = (this.#drainMs ?? 0) + backoff(this.#losses++);
    this.#drainMs = undefined;
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#change('reconnecting');
  }

  #end(error?: KliegError): void {
    if (this.#connection === 'closed') return;
    clearTimeout(this.#timer);
    this.#timeline.clear();
    this.releaseFormer();
    const wire = this.#wire;
    this.#wire = undefined;
    // On purpose: a host who only vanished would be waited for.
    if (error === undefined && this.#snapshot !== undefined) wire?.request('leave', {}).catch(() => {});
    wire?.close();
    this.#change('closed', error);
  }

  #change(connection: Connection, error?: KliegError): void {
    this.#connection = connection;
    this.emit('connection', error === undefined ? { connection } : { connection, error });
  }

  #handle(message: ServerMessage): void {
    if (message.seq !== undefined) {
      // A replay may overlap with what was seen before the loss.
      if (this.#lastSeq !== undefined && message.seq <= this.#lastSeq) return;
      this.#lastSeq = message.seq;
    }
    switch (message.t) {
      case 'joined': return this.#handleJoined(message.d);
      case 'rtc.publisher': return this.#setPublisher(message.d);
      case 'room.status': return this.#setStatus(message.d);
      case 'room.updated': return this.#setInfo(message.d.room);
      case 'stats': return this.#setStats(message.d);
      case 'analytics': return this.emit('analytics', message.d);
      case 'you': return this.#setYou(message.d);
      // On purpose: whoever comes back at once would only be put out again.
      case 'kicked': return this.#end(new KliegError('kicked', message.d.reason));
      case 'chat.deleted': return this.#bury(message.d);
      case 'chat.pinned': return this.emit('pinned', message.d.message);
      case 'chat.settings': return this.emit('chatSettings', message.d);
      case 'mod.held': return this.emit('held', message.d);
      case 'mod.reviewed': return this.emit('reviewed', message.d);
      case 'mod.report': return this.emit('report', message.d);
      case 'mod.resolved': return this.emit('resolved', message.d);
      case 'chat.message': return this.#say(message.d);
      case 'products': return this.#at('products', message.d, (products) => this.#setProducts(products));
      case 'product': return this.#timeline.apply('products', undefined, () => this.#setProduct(message.d));
      case 'order': return this.#at('chat', message.d, (order) => this.emit('order', order));
      case 'poll': return this.#at('poll', message.d, (poll) => this.emit('poll', poll));
      case 'question': return this.emit('question', message.d);
      case 'question.removed': return this.emit('questionRemoved', message.d);
      case 'participant.joined': return this.emit('came', message.d);
      case 'participant.left': return this.emit('went', message.d);
      case 'reaction.batch': return this.emit('reactions', message.d.counts);
      case 'rtc.offer': return this.emit('offer', message.d);
      case 'rtc.answer': return this.emit('answer', message.d);
      case 'rtc.layers': return this.emit('layers', message.d);
      case 'rtc.state': return this.emit('session', message.d);
      case 'token.refresh': this.#sent = message.d; return;
      case 'server.draining': this.#drainMs = message.d.reconnectAfterMs;
    }
  }

  /** Does something with what happened when its frame is shown, and after what happened before. */
  #at<What extends Captured>(kind: Kind, what: What, act: (what: What) => void, name?: string): void {
    this.#timeline.apply(kind, what.capturedAt, () => act(what), name);
  }

  #say(message: ChatMessage): void {
    // A conversation goes on whatever is shown; its lines have numbers, so that what comes late finds its place.
    if (message.capturedAt === undefined) this.emit('message', message);
    else this.#at('chat', message, () => this.emit('message', message), message.messageId);
  }

  /** What was taken away before its frame is never shown. */
  #bury(deleted: { messageId: string }): void {
    this.#timeline.drop('chat', deleted.messageId);
    this.emit('deleted', deleted);
  }

  #handleJoined(snapshot: Snapshot): void {
    // The snapshot has all of it.
    this.#timeline.clear();
    this.#snapshot = snapshot;
    // A room that waits for its next show tells for a while how the last one ended.
    this.#ended = !onAir(snapshot.room.status) && (this.#ended || snapshot.room.summary !== undefined);
    this.#lastSeq = snapshot.seq;
    this.#change('joined');
    this.emit('joined', snapshot);
    this.emit('info', snapshot.room);
    this.emit('publisher', snapshot.publisher);
    this.emit('stats', snapshot.stats);
    this.emit('you', snapshot.you);
    this.emit('pinned', snapshot.pinned);
    if (snapshot.poll !== null) this.emit('poll', snapshot.poll);
    this.#setProducts(snapshot.products);
    this.emit('chatSettings', snapshot.chatSettings);
  }

  #setProducts(products: Products): void {
    this.#products = products;
    this.emit('products', products);
  }

  #setProduct(product: Product): void {
    const { list, featuredId } = this.#products;
    if (!list.some(({ id }) => id === product.id)) return;
    this.#setProducts({ list: list.map((one) => one.id === product.id ? product : one), featuredId });
  }

  #setYou(you: You): void {
    if (this.#snapshot === undefined) return;
    this.#snapshot = { ...this.#snapshot, you };
    this.emit('you', you);
  }

  #setPublisher(publisher: PublisherState): void {
    if (this.#snapshot === undefined) return;
    this.#snapshot = { ...this.#snapshot, publisher };
    this.emit('publisher', publisher);
  }

  #setStatus({ status, startedAt, endedAt, summary }: ServerMessages['room.status']): void {
    if (this.#snapshot === undefined) return;
    if (onAir(status)) this.#ended = false;
    else if (onAir(this.#snapshot.room.status)) this.#ended = true;
    const room = { ...this.#snapshot.room, status };
    // They stay while a room waits for its next event.
    if (onAir(status)) {
      delete room.endedAt;
      delete room.summary;
    }
    if (startedAt !== undefined) room.startedAt = startedAt;
    if (endedAt !== undefined) room.endedAt = endedAt;
    if (summary !== undefined) room.summary = summary;
    this.#snapshot = { ...this.#snapshot, room };
    this.emit('info', room);
  }

  #setInfo(room: RoomInfo): void {
    if (this.#snapshot === undefined) return;
    // What an event came to is told once, at its end.
    const { summary } = this.#snapshot.room;
    this.#snapshot = { ...this.#snapshot, room: summary === undefined ? room : { ...room, summary } };
    this.emit('info', this.#snapshot.room);
  }

  #setStats(stats: RoomStats): void {
    if (this.#snapshot === undefined) return;
    this.#snapshot = { ...this.#snapshot, stats };
    this.emit('stats', stats);
  }
}

function onAir(status: RoomInfo['status']): boolean {
  return status === 'live' || status === 'interrupted';
}

function isOver(status: RoomInfo['status'] | undefined): boolean {
  return status === 'ended' || status === 'processing' || status === 'archived' || status === 'cancelled';
}
