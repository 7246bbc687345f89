/** What goes over the wire, by the names that this library has for it; schema.ts, made from the server's code, has the fields. */

import type { ClientMessage, Room, RoomView, RtcReport, Said, ServerMessage } from './schema.js';

export type {
  AccountRole, AccountView as Account, Analytics, Attendance, ChatMessage, Classes as LatencyClass, ClientConfig as ServerConfig, CreatedRoom, Delivery, DeliveryStatus, ErrorCode, Grants, Held as HeldMessage, Ingest,
  JoinAnswer as JoinToken, Joined as Snapshot, LayerView as Layer, Layers, Likes, Limit, LiveAnalytics, NewProduct, NewRoom, NewWebhook, NodeView as ServerNode, OfMinute as AnalyticsMinute, OrderView as Order, OwnPoll,
  OwnQuestion, People as Audience, Person as Participant, PollView as Poll, Product, ProductPatch, PublisherView as PublisherState, Question, Report, Role, RoomPatch, RoomStatus, SessionSdp as Description,
  SessionState, SettingsPatch as ChatSettingsPatch, SettingsView as ChatSettings, ChatSettings as ModeratorSettings, ShelfView as Products, SignedIn as SignIn, Stats as RoomStats, Summary as EventSummary, TimeSeries, Trouble,
  User, Visibility, Webhook, You,
} from './schema.js';

/** Name of the WebSocket subprotocol. */
export const SUBPROTOCOL = 'klieg.v1';

/** A room as lists and snapshots show it; the numbers and the address of a picture are only in lists, and the summary is there once an event is over, until the next is on air. */
export type RoomInfo = RoomView & Partial<Pick<Room, 'viewerCount' | 'summary' | 'thumbnailUrl'>>;

/**
 * What happened while a frame was captured. A `Room` tells of it when that frame is shown: at once where there is no
 * picture, and ten seconds after it came at the latest.
 */
export interface Captured {
  /** Milliseconds since 1970 by the server's clock; absent where it is no news. */
  capturedAt?: number;
}

/** What a line may be sent with. */
export type ChatOptions = Omit<Said, 'text'>;

/** What a viewer's browser counted since its session began, for the server's figures. */
export type Reception = Omit<RtcReport, 'sessionId'>;

/** Content of each client message. */
export type ClientMessages = { [Message in ClientMessage as Message['t']]: NonNullable<Message['d']> };

/** Content of each server message. */
type AllServerMessages = { [Message in ServerMessage as Message['t']]: Message['d'] };

/** Content of each server message that is no answer. */
export type ServerMessages = Omit<AllServerMessages, 'ack' | 'error'>;

/** Content of an `ack`; which fields it has depends on the request. */
export type Ack = AllServerMessages['ack'];

/** One page of a list. */
export interface Page<Item> {
  items: Item[];
  nextCursor?: string | null;
}
