/** The messages of `klieg.v1` and the bodies of the REST calls beside it, as docs/protocol.md writes them. */

/** Name of the WebSocket subprotocol. */
export const SUBPROTOCOL = 'klieg.v1';

/** What an identity is in a room. */
export type Role = 'admin' | 'owner' | 'cohost' | 'moderator' | 'viewer' | 'guest';

/** Where a room is in its life. */
export type RoomStatus =
  | 'scheduled' | 'ready' | 'live' | 'interrupted' | 'ended' | 'processing' | 'archived' | 'cancelled';

/** Who may know of a room. */
export type Visibility = 'public' | 'unlisted' | 'private';

/** Someone with an account. */
export interface User {
  id: string;
  name: string;
}

/** A room as lists and snapshots show it. */
export interface RoomInfo {
  id: string;
  title: string;
  status: RoomStatus;
  visibility: Visibility;
  owner: User;
  /** What it is about; absent where nothing is said. */
  description?: string;
  /** What it is listed under: lower-case letters, digits and hyphens. */
  category?: string;
  /** When it is to begin, RFC 3339. */
  scheduledAt?: string;
  /** RFC 3339; absent until the room was live once. */
  startedAt?: string | null;
  /** When it was over, RFC 3339. */
  endedAt?: string;
  /** Of the last event: once it is over, and until the next is on air. Snapshots have none. */
  summary?: EventSummary;
  /** A picture of the host. */
  hostAvatarUrl?: string;
  allowGuestChat: boolean;
  /** How long viewers let pictures wait, in milliseconds; absent where each player chooses. */
  playoutDelayMs?: number;
  /** Only in lists. */
  viewerCount?: number;
}

/** What an event came to. */
export interface EventSummary {
  durationSec: number;
  /** The most viewers at once. */
  peakViewers: number;
  /** Viewing sessions. */
  totalViewers: number;
  /** For which media really came to viewers, together. */
  watchTimeSec: number;
  likes: number;
  messages: number;
  orders: number;
  /** By currency, in the smallest unit of each. */
  revenue: Record<string, number>;
}

/** What the publisher sends at the moment. */
export interface PublisherState {
  state: 'none' | 'live' | 'interrupted';
  audio: boolean;
  video: boolean;
  audioMuted: boolean;
  videoMuted: boolean;
  /** Absent until the first video arrived. */
  videoCodec?: string | null;
}

/** The numbers of a room. */
export interface RoomStats {
  viewerCount: number;
  likes: number;
  peak: number;
}

/** One line of the chat. */
export interface ChatMessage {
  messageId: string;
  seq: number;
  /** Milliseconds since 1970, UTC. */
  ts: number;
  /** `system` is an announcement; `order` says that somebody bought what `text` names. */
  kind: 'chat' | 'system' | 'order';
  /** Empty once a moderator took it away. */
  text: string;
  from: User & { role: Role };
  /** Who is meant. */
  mentions?: User[];
  /** What it answers. */
  replyTo?: { messageId: string; from: User };
  /** The product that it is about. */
  product?: { id: string; name: string };
  /** Whether a moderator took the text away. */
  deleted?: boolean;
  /** Of announcements and orders, see `Captured`. */
  capturedAt?: number;
}

/**
 * What happened while a frame was captured. A `Room` tells of it when that frame is shown: at once where there is no
 * picture, and ten seconds after it came at the latest.
 */
export interface Captured {
  /** Milliseconds since 1970 by the server's clock; absent where it is no news. */
  capturedAt?: number;
}

/** What a line may be sent with. */
export interface ChatOptions {
  /** `system`: an announcement, for moderators. */
  kind?: 'chat' | 'system';
  /** Ids of people who are meant; ten at most. */
  mentions?: string[];
  /** Id of the message that is answered. */
  replyTo?: string;
  /** Id of the product that it is about. */
  productId?: string;
}

/** A product; prices are in the smallest unit of their currency. */
export interface Product {
  id: string;
  name: string;
  imageUrl?: string;
  buyUrl?: string;
  price: number;
  /** What it cost before. */
  originalPrice?: number;
  discountPercent: number;
  /** Three letters (ISO 4217). */
  currency: string;
  /** What is left; absent where nobody counts. */
  stock?: number;
  /** The most that one order may have of it. */
  quantityLimit?: number;
  sold: number;
  /** What the shop calls it. */
  externalId?: string;
}

/** A product to be added. */
export type NewProduct = Omit<Product, 'id' | 'discountPercent' | 'sold'>;

/** What to change in a product: what is left out stays, `null` takes away what may be missing. */
export type ProductPatch = { [Field in keyof NewProduct]?: NewProduct[Field] | null };

/** What a room sells, in its order. */
export interface Products extends Captured {
  list: Product[];
  /** The one that is shown large. */
  featuredId: string | null;
}

/** Somebody bought something. */
export interface Order extends Captured {
  /** Of the line that says so in the chat. */
  messageId: string;
  displayName: string;
  /** Absent for what the room does not list. */
  productId?: string;
  productName: string;
}

/** How a chat is set, as everybody may know. */
export interface ChatSettings {
  /** Seconds between two lines of one person; 0: no wait. */
  slowModeSec: number;
  /** Who may write. */
  audience: 'everyone' | 'followers' | 'members';
  /** What becomes of lines with links. */
  links: 'allow' | 'hold' | 'refuse';
  /** Whether guests may write. */
  guests: boolean;
}

/** What moderators change in how a chat is set; what is left out stays. */
export interface ChatSettingsPatch extends Partial<ChatSettings> {
  /** All words and phrases that are not to be said here. */
  words?: string[];
  builtInWords?: boolean;
  wordRule?: 'refuse' | 'hold';
}

/** How a chat is set, as moderators see it. */
export interface ModeratorSettings extends Omit<ChatSettings, 'guests'> {
  words: string[];
  builtInWords: boolean;
  wordRule: 'refuse' | 'hold';
}

/** A line that a moderator looks at first. */
export interface HeldMessage {
  heldId: string;
  ts: number;
  text: string;
  from: User & { role: Role };
  reason: 'link' | 'word';
}

/** What somebody told the moderators of a line. */
export interface Report {
  reportId: string;
  ts: number;
  by: User & { role: Role };
  reason: string;
  message: ChatMessage;
}

/** What this participant may do in the room. */
export interface Grants {
  publish: boolean;
  chat: boolean;
  react: boolean;
  moderate: boolean;
}

/** This participant. */
export interface You extends User {
  role: Role;
  grants: Grants;
  /** Whether a moderator keeps them from writing. */
  muted?: boolean;
  /** Until when, RFC 3339; absent: for good. */
  mutedUntil?: string;
}

/** What a host asks the audience. */
export interface Poll extends Captured {
  pollId: string;
  question: string;
  options: { text: string; votes: number }[];
  /** Whether it takes votes. */
  open: boolean;
  /** Milliseconds since 1970, UTC. */
  openedAt: number;
  closedAt?: number;
}

/** A poll, and which option the bearer chose, from 0 on. */
export interface OwnPoll extends Poll {
  chosen?: number;
}

/** What somebody asks the host. */
export interface Question {
  questionId: string;
  ts: number;
  text: string;
  from: User & { role: Role };
  /** How many want to know it, too. */
  votes: number;
  answered: boolean;
}

/** A question, and whether the bearer wants to know it, too. */
export interface OwnQuestion extends Question {
  voted: boolean;
}

/** Somebody who may not write, or not enter. */
export interface Limit extends User {
  reason?: string;
  /** RFC 3339; absent: for good. */
  until?: string;
  /** How many addresses are shut out with them; absent: none. */
  addresses?: number;
}

/** Somebody who is in the room, as moderators see them. */
export interface Participant extends User {
  role: Role;
  /** Whether they have a picture, or are about to. */
  watching: boolean;
}

/** Somebody came or went. */
export interface Attendance extends Participant {
  /** How many people are here now. */
  present: number;
}

/** Who is in a room: how many, and for moderators who. */
export interface Audience {
  viewerCount: number;
  /** People among them: who watches twice counts once. */
  unique: number;
  items?: Participant[];
  nextCursor?: string | null;
}

/** Whether somebody likes a room, and how many do. */
export interface Likes {
  liked: boolean;
  likes: number;
}

/** Everything a participant needs to begin with. */
export interface Snapshot {
  room: RoomInfo;
  publisher: PublisherState;
  stats: RoomStats;
  seq: number;
  chatHistory: ChatMessage[];
  /** What everybody sees first. */
  pinned?: ChatMessage | null;
  chatSettings?: ChatSettings;
  products?: Products;
  /** The last one. */
  poll?: Poll | null;
  iceServers: RTCIceServer[];
  you: You;
}

/** A session description of the server for one peer connection. */
export interface Description {
  sessionId: string;
  sdp: string;
}

/** One layer of the publisher's picture. */
export interface Layer {
  /** Its name in `rtc.subscribe`: its RID, or `full` without simulcast. */
  layer: string;
  /** Whether it comes at present. */
  active: boolean;
  /** Pixels; 0 until known. */
  width: number;
  height: number;
  /** Bits a second as it was told; 0 while it does not come, absent from an older server. */
  bitrate?: number;
}

/** What this viewer is sent. */
export interface Layers {
  available: Layer[];
  /** Which of them comes; null until one does, and while the network carries none. */
  selected: string | null;
  /**
   * `unavailable`: the layer asked for does not come at present. `bandwidth`: the network carries no better one, or
   * none at all; sound goes on.
   */
  reason: 'auto' | 'manual' | 'unavailable' | 'bandwidth' | 'codec_mismatch';
  /** What the publisher sends, where `reason` is `codec_mismatch`. */
  codec?: string;
}

/** What a viewer's browser counted since its session began, for the server's figures. */
export interface Reception {
  framesDecoded: number;
  /** Freezes of the picture. */
  stalls: number;
  stalledMs: number;
  /** How old the picture is that is shown; left out where the browser or the publisher does not tell. */
  latencyMs?: number;
  /** From asking for the session to its first frame; in the first report. */
  firstFrameMs?: number;
}

/** Where a session is in its life. */
export interface SessionState {
  sessionId: string;
  state: 'connected' | 'media' | 'closed';
  reason?: string;
}

/** Content of each client message. */
export interface ClientMessages {
  'auth': { token: string };
  'join': { roomId: string };
  'resume': { roomId: string; lastSeq: number };
  'leave': Record<string, never>;
  'ping': Record<string, never>;
  'stats': Record<string, never>;
  'rtc.subscribe': { layer: string };
  'rtc.offer': { sdp: string; sessionId?: string };
  'rtc.answer': Description;
  'rtc.keyframe': { sessionId: string };
  'rtc.report': { sessionId: string } & Reception;
  'rtc.restart': { sessionId: string };
  'rtc.mute': { kind: 'audio' | 'video'; muted: boolean };
  'rtc.close': { sessionId: string };
  'chat.send': { text: string } & ChatOptions;
  'chat.report': { messageId: string; reason?: string };
  'chat.delete': { messageId: string };
  'chat.pin': { messageId: string | null };
  'mod.mute': { identity: string; name?: string; seconds?: number; reason?: string };
  'mod.ban': { identity: string; name?: string; seconds?: number; reason?: string };
  'mod.kick': { identity: string; reason?: string };
  'mod.slow': { seconds: number };
  'mod.role': { identity: string; name?: string; role: 'cohost' | 'moderator' | null };
  'mod.review': { heldId: string; approve: boolean };
  'product.feature': { productId: string | null };
  'poll.open': { question: string; options: string[] };
  'poll.close': { pollId: string };
  'poll.vote': { pollId: string; option: number };
  'question.ask': { text: string; clientId?: string };
  'question.vote': { questionId: string; up: boolean };
  'question.answer': { questionId: string; answered: boolean };
  'question.remove': { questionId: string };
  'like.toggle': Record<string, never>;
  'reaction.send': { emoji: string };
}

/** Content of each server message that is no answer. */
export interface ServerMessages {
  'joined': Snapshot;
  'rtc.offer': Description;
  'rtc.answer': Description;
  'rtc.publisher': PublisherState;
  'rtc.layers': Layers;
  'rtc.state': SessionState;
  'you': You;
  'kicked': { reason?: string };
  'chat.message': ChatMessage;
  'chat.deleted': { messageId: string };
  'chat.pinned': { message: ChatMessage | null };
  'chat.settings': ChatSettings;
  'mod.held': HeldMessage;
  'mod.reviewed': { heldId: string; approved: boolean };
  'mod.report': Report;
  'mod.resolved': { reportId: string };
  'products': Products;
  /** One that somebody bought, as it is now. */
  'product': Product;
  'order': Order;
  'poll': Poll;
  'question': Question;
  'question.removed': { questionId: string };
  'participant.joined': Attendance;
  'participant.left': Attendance;
  'reaction.batch': { counts: Record<string, number> };
  'stats': RoomStats;
  'analytics': LiveAnalytics;
  'room.status': { status: RoomStatus; startedAt?: string | null; endedAt?: string; summary?: EventSummary; message?: string };
  'room.updated': { room: RoomInfo };
  'token.refresh': { token: string; expiresAt: string };
  'server.draining': { reconnectAfterMs: number };
}

/** Content of an `ack`; which fields it has depends on the request. */
export interface Ack {
  re: string;
  seq?: number;
  sessionId?: string;
  messageId?: string;
  /** Whether a moderator looks at the line first. */
  held?: boolean;
  /** With how many addresses a ban goes. */
  addresses?: number;
  viewerCount?: number;
  /** Whether this participant likes the room now. */
  liked?: boolean;
  likes?: number;
  peak?: number;
}

/** An audience at this moment, for those who may see it; docs/analytics.md says what each figure is. */
export interface LiveAnalytics {
  at: string;
  startedAt: string;
  watching: number;
  peakWatching: number;
  uniqueViewers: number;
  visits: number;
  watchTimeSec: number;
  averageWatchSec: number;
  engagedViewers: number;
  messages: number;
  reactions: number;
  stallsPerHour?: number;
  /** Sessions by the size of the picture that they are shown. */
  layers: Record<string, number>;
  /** Reports of the last minute by the age of the picture. */
  latency: LatencyClass[];
  likes: number;
  orders: number;
  /** By currency, in the smallest unit of each. */
  revenue: Record<string, number>;
}

/** Reports of pictures up to an age that no class before has. */
export interface LatencyClass {
  /** Left out: whatever is older. */
  upToMs?: number;
  reports: number;
}

/** The figures of a room's last event, `GET /rooms/{id}/analytics`. */
export interface Analytics {
  /** Left out: there was none with an audience. */
  startedAt?: string;
  updatedAt?: string;
  watching: number;
  peakWatching: number;
  visits: number;
  uniqueViewers: number;
  watchTimeSec: number;
  averageWatchSec: number;
  medianWatchSec: number;
  /** Viewers who watched at least 0, 1, 2 … minutes. */
  retention: number[];
  regions: { region: string; viewers: number }[];
  devices: { device: string; viewers: number }[];
  layers: { layer: string; watchTimeSec: number }[];
  latency: LatencyClass[];
  stallsPerHour?: number;
  framesPerSecond?: number;
  engagedViewers: number;
  /** 0 to 1. */
  engagementRate?: number;
  messagesPerMinute?: number;
  reactionsPerMinute?: number;
  likes: number;
  messages: number;
  orders: number;
  revenue: Record<string, number>;
}

/** One minute of an event. */
export interface AnalyticsMinute {
  at: string;
  peakWatching: number;
  averageWatching: number;
  watchTimeSec: number;
  visits: number;
  newViewers: number;
  messages: number;
  reactions: number;
  orders: number;
  revenue: Record<string, number>;
  stalls: number;
  stallsPerHour?: number;
  framesPerSecond?: number;
}

/** Minutes of an event; `next` is the `from` of the next page. */
export interface TimeSeries {
  items: AnalyticsMinute[];
  next?: string;
}

/** The server's settings that a page needs, `GET /api/v1/config`. */
export interface ServerConfig {
  /** Whether a name alone is enough to sign in. */
  devSignIn: boolean;
  /** Whether people may make accounts themselves. */
  registration: boolean;
  reactions: string[];
  maxChatLength: number;
  version: string;
}

/** What an account may do on the server. */
export type AccountRole = 'admin' | 'host' | 'viewer';

/** An account as its owner sees it. */
export interface Account extends User {
  role: AccountRole;
}

/** Answer to a sign-in. */
export interface SignIn {
  accessToken: string;
  /** RFC 3339. */
  expiresAt: string;
  /** Good once, for new tokens. */
  refreshToken: string;
  /** RFC 3339. */
  refreshExpiresAt: string;
  user: Account;
}

/** Answer to `POST /rooms/{id}/join`. */
export interface JoinToken {
  token: string;
  expiresAt: string;
  role: Role;
  grants: Grants;
}

/** One page of a list. */
export interface Page<Item> {
  items: Item[];
  nextCursor?: string | null;
}
