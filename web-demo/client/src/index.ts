/** Watch, publish and chat on a Klieg server: one class per role. */

export * from './protocol.js';
export { KliegError } from './error.js';
export { Api } from './api.js';
export type { BearerSource, RoomQuery } from './api.js';
export { Session } from './session.js';
export type { SessionEvents, SessionStorage } from './session.js';
export { Room } from './room.js';
export type { Connection, RoomEvents, RoomOptions, TokenSource } from './room.js';
export { Viewer } from './viewer.js';
export type { ViewerEvents, ViewerStatus } from './viewer.js';
export { Publisher } from './publisher.js';
export type { PublisherEvents, PublisherOptions, PublisherStatus } from './publisher.js';
export { Chat } from './chat.js';
export type { ChatEvents } from './chat.js';
export { VIDEO_CODECS, sendableCodecs } from './codecs.js';
export type { VideoCodec } from './codecs.js';
export type { Layering, Split } from './layers.js';
export type { PublisherStats, ViewerStats } from './stats.js';
export { describeCodec, describeError, describeLayers, describePublisher, describeRemedy, describeViewer, en, vi } from './words/index.js';
export type { Words } from './words/index.js';
