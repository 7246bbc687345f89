/** What goes over the wire, made from docs/openapi.json and docs/protocol.json by `npm run types`: not to be edited. */

interface components {
  schemas: {
    /**
     * What an account may do on this server, in whatever room.
     * @enum {string}
     */
    AccountRole: "admin" | "host" | "viewer";
    /** An account as its owner sees it. */
    AccountView: {
      id: string;
      name: string;
      role: components["schemas"]["AccountRole"];
    };
    /** The answer to a message that was carried out. What is `None` is not in the answer. */
    Ack: {
      /** With how many addresses a ban goes. */
      addresses?: number | null;
      /** Whether a moderator looks at the message first. */
      held?: boolean;
      identity?: components["schemas"]["Participant"];
      /** Whether the client likes the room now. */
      liked?: boolean;
      /** How many do. */
      likes?: number;
      messageId?: string;
      /** The most viewers the room ever had. */
      peak?: number;
      pollId?: string;
      questionId?: string;
      seq?: number;
      sessionId?: string;
      /** Sockets with a viewing session. */
      viewerCount?: number;
    };
    /** The figures of a room's last event. */
    Analytics: {
      /** The same divided by the viewers. */
      averageWatchSec: number;
      /** Viewers by class of device, the most first. */
      devices: components["schemas"]["OfDevice"][];
      /** Viewers who did something. */
      engagedViewers: number;
      /** The same divided by the viewers; left out: there are none. */
      engagementRate?: number;
      /** Decoded frames a second of those who report; left out: nobody does. */
      framesPerSecond?: number;
      /** Reports by the age of the picture. */
      latency: components["schemas"]["Classes"][];
      /** Time by the size of the picture. */
      layers: components["schemas"]["OfLayer"][];
      /** Who like the room. */
      likes: number;
      /** Of the viewer in the middle. */
      medianWatchSec: number;
      /** Chat messages of the room, those about orders included. */
      messages: number;
      /** Left out: no minute was written down. */
      messagesPerMinute?: number;
      /** Orders of the room. */
      orders: number;
      /** The most who watched at once. */
      peakWatching: number;
      /** Left out: no minute was written down. */
      reactionsPerMinute?: number;
      /** Viewers by country, the most first. */
      regions: components["schemas"]["OfRegion"][];
      /** Viewers who watched at least so many minutes, minute by minute. */
      retention: number[];
      /** What they came to, by currency, in the smallest unit of each. */
      revenue: components["schemas"]["Revenue"];
      /** Freezes in an hour of those who report; left out: nobody does. */
      stallsPerHour?: number;
      /** When the event began; left out: there was none with an audience. */
      startedAt?: string;
      /** Viewers, each once. */
      uniqueViewers: number;
      /** How old the figures are. */
      updatedAt?: string;
      /** Times that a session began to receive media. */
      visits: number;
      /** What all of them watched, together. */
      watchTimeSec: number;
      /** Viewers who watch now. */
      watching: number;
    };
    /** `question.answer`. */
    AnswerQuestion: {
      answered: boolean;
      questionId: string;
    };
    /** A message that was answered. */
    AnsweredMessage: {
      /** Who said it. */
      from: components["schemas"]["User"];
      /** Its id. */
      messageId: string;
    };
    /** What became of a question. */
    AnsweredQuestion: {
      /** Whether it was answered. */
      answered: boolean;
    };
    /** An order of products. */
    Arrangement: {
      /** The id of every product, once. */
      ids: string[];
    };
    /** `participant.joined` and `participant.left`. */
    Attendance: components["schemas"]["Person"] & {
      /** How many people are here now. */
      present: number;
    };
    /**
     * Who may write, of those whose role allows it.
     * @enum {string}
     */
    Audience: "everyone" | "followers" | "members";
    /** What somebody who keeps order did. */
    Audit: {
      /** What was done. */
      action: string;
      /** Who did it. */
      by: components["schemas"]["Author"];
      /** What else there is to know. */
      details: Record<string, never>;
      /** A UUID that rises with time. */
      id: string;
      /** The message or the person that it was done to. */
      target?: string;
      /** Milliseconds since 1970 (UTC). */
      ts: number;
    };
    /** `auth`. */
    Auth: {
      token: string;
    };
    /** Who said something, as of then. */
    Author: {
      /** Their picture, where the server's profiles have one. */
      avatarUrl?: string;
      /** Identity. */
      id: string;
      /** Name. */
      name: string;
      /** Role in the room. */
      role: components["schemas"]["Role"];
    };
    /** What a ban came to. */
    Banned: {
      /** How many addresses are shut out with the person. */
      addresses: number;
    };
    /** As text, or as browsers write an `RTCIceCandidate`. */
    Candidate: string | {
      candidate: string;
    };
    /** `chat.delete`. */
    ChatDelete: {
      messageId: string;
    };
    /** `chat.deleted`. */
    ChatDeleted: {
      /** The message whose text is to be taken from the screen. */
      messageId: string;
      /** The number of that message. */
      seq: number;
    };
    /** A chat message, on the wire too. */
    ChatMessage: components["schemas"]["Details"] & {
      /** Whether its text was taken away. */
      deleted?: boolean;
      /** Who said it. */
      from: components["schemas"]["Author"];
      /** What it is. */
      kind: components["schemas"]["MessageKind"];
      /** A UUID that rises with time. */
      messageId: string;
      /** Its number among the room's events. */
      seq: number;
      /** What was said; empty once that was taken away. */
      text: string;
      /** Milliseconds since 1970 (UTC). */
      ts: number;
    };
    /** `chat.pin`. */
    ChatPin: {
      /** `null`: no message any more. */
      messageId?: string | null;
    };
    /** `chat.pinned`. */
    ChatPinned: {
      message: components["schemas"]["ChatMessage"] | null;
    };
    /** `chat.report`. */
    ChatReport: {
      messageId: string;
      reason?: string;
    };
    /** How a room's chat is set, as moderators see it and the database keeps it. */
    ChatSettings: components["schemas"]["PublicSettings"] & {
      /**
       * Whether the words of the built-in list are not to be said either.
       * @default false
       */
      builtInWords: boolean;
      /**
       * What becomes of a message with one of these words.
       * @default refuse
       */
      wordRule: components["schemas"]["WordRule"];
      /**
       * Words and phrases that are not to be said here. One with accents is met by these accents alone.
       * @default []
       */
      words: string[];
    };
    /** Reports of pictures up to an age. */
    Classes: {
      /** Reports that no class before this one has. */
      reports: number;
      /** In milliseconds; left out: whatever is older. */
      upToMs?: number;
    };
    /** What a clean-up did. */
    Cleaned: {
      /** Rooms that were never used. */
      cancelled: number;
      /** Keys of creations and names of those put out that were old, and bans that were over and went with addresses. */
      forgotten: number;
      /** Rooms on air that no server had; they are waited for once more. */
      resumed: number;
    };
    /** What pages must know before anybody signs in. */
    ClientConfig: {
      /** Whether what is left out of a product comes from a shop's catalogue. */
      catalogue: boolean;
      /** Whether a name alone is enough to sign in. */
      devSignIn: boolean;
      maxChatLength: number;
      reactions: string[];
      /** Whether people may make accounts themselves. */
      registration: boolean;
      version: string;
    };
    ClientMessage: {
      d: components["schemas"]["Auth"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "auth";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "ping";
    } | {
      d: components["schemas"]["Join"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "join";
    } | {
      d: components["schemas"]["Resume"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "resume";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "leave";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "stats";
    } | {
      d?: components["schemas"]["RtcSubscribe"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.subscribe";
    } | {
      d: components["schemas"]["RtcAnswer"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.answer";
    } | {
      d: components["schemas"]["RtcOffer"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.offer";
    } | {
      d: components["schemas"]["RtcCandidate"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.candidate";
    } | {
      d: components["schemas"]["SessionName"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.keyframe";
    } | {
      d: components["schemas"]["RtcReport"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.report";
    } | {
      d: components["schemas"]["RtcTrouble"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.trouble";
    } | {
      d: components["schemas"]["SessionName"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.restart";
    } | {
      d: components["schemas"]["RtcMute"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.mute";
    } | {
      d: components["schemas"]["SessionName"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "rtc.close";
    } | {
      d: components["schemas"]["Said"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "chat.send";
    } | {
      d: components["schemas"]["ChatReport"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "chat.report";
    } | {
      d: components["schemas"]["ReactionSend"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "reaction.send";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "like.toggle";
    } | {
      d: components["schemas"]["VotePoll"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "poll.vote";
    } | {
      d: components["schemas"]["NewQuestion"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "question.ask";
    } | {
      d: components["schemas"]["VoteQuestion"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "question.vote";
    } | {
      d: components["schemas"]["ChatDelete"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "chat.delete";
    } | {
      d?: components["schemas"]["ChatPin"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "chat.pin";
    } | {
      d: components["schemas"]["ModMute"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.mute";
    } | {
      d: components["schemas"]["ModKick"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.kick";
    } | {
      d: components["schemas"]["ModBan"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.ban";
    } | {
      d: components["schemas"]["ModSlow"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.slow";
    } | {
      d: components["schemas"]["ModRole"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.role";
    } | {
      d: components["schemas"]["ModReview"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "mod.review";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "room.start";
    } | {
      d?: Record<string, never>;
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "room.end";
    } | {
      d?: components["schemas"]["ProductFeature"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "product.feature";
    } | {
      d: components["schemas"]["NewPoll"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "poll.open";
    } | {
      d: components["schemas"]["ClosePoll"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "poll.close";
    } | {
      d: components["schemas"]["AnswerQuestion"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "question.answer";
    } | {
      d: components["schemas"]["RemoveQuestion"];
      /** The answer names it in `re`; without one there is none. */
      id?: string;
      /** @constant */
      t: "question.remove";
    };
    /** `poll.close`. */
    ClosePoll: {
      pollId: string;
    };
    /** What is wrong with a message. */
    Complaint: {
      /** The id of the message. */
      messageId: string;
      /** Why. */
      reason?: string;
    };
    /** A room that was just created. */
    CreatedRoom: components["schemas"]["Room"] & {
      ingest: components["schemas"]["Ingest"];
      playback: components["schemas"]["Playback"];
    };
    /** A webhook with its secret. */
    CreatedWebhook: components["schemas"]["Webhook"] & {
      /** What each request is signed with; shown here and never again. Missing where it was replaced before the request came again. */
      secret?: string | null;
    };
    /** A host's own rooms at a glance. */
    Dashboard: {
      /** On air; twelve at most, as in the other lists. */
      live: components["schemas"]["Room"][];
      /** Over, the latest first. */
      past: components["schemas"]["Room"][];
      /** Started, and waiting for media. */
      ready: components["schemas"]["Room"][];
      /** Of all the bearer's events, those under way included up to the last minute or so. */
      totals: components["schemas"]["Totals"];
      /** To begin at a moment, the next first. */
      upcoming: components["schemas"]["Room"][];
    };
    /** One event on its way to one webhook, or what became of it. */
    Delivery: {
      /** Attempts since it happened, or was replayed. */
      attempts: number;
      /** When. */
      createdAt: string;
      /** How long that took, in milliseconds. */
      durationMs?: number | null;
      /** What went wrong then; `null`: nothing. */
      error?: string | null;
      /** What receivers know the event by: `webhook-id`. */
      id: string;
      /** When it was tried last. */
      lastAttemptAt?: string | null;
      /** When the first that waits of its room is tried next; `null` while it is tried, and where nothing waits. */
      nextAttemptAt?: string | null;
      /** What was answered then; `null`: nothing. */
      responseStatus?: number | null;
      /** Where; `null` for what is of no room. */
      roomId?: string | null;
      status: components["schemas"]["DeliveryStatus"];
      /** What happened. */
      type: string;
    };
    /**
     * What became of a delivery.
     * @enum {string}
     */
    DeliveryStatus: "pending" | "delivered" | "failed";
    /** A delivery with what is told. */
    DeliveryWithBody: components["schemas"]["Delivery"] & {
      /** The body of the request. */
      body: Record<string, never>;
    };
    /** What a chat message refers to, in the database and on the wire. */
    Details: {
      /**
       * Of announcements and orders: which frame was captured as it happened, in milliseconds since 1970 (UTC).
       * @default null
       */
      capturedAt?: number;
      /**
       * Who is meant; ten at most.
       * @default []
       */
      mentions?: components["schemas"]["User"][];
      /**
       * The product that it is about.
       * @default null
       */
      product?: components["schemas"]["ProductName"];
      /**
       * What it answers.
       * @default null
       */
      replyTo?: components["schemas"]["AnsweredMessage"];
    };
    /** Something to read beside the picture. */
    Document: {
      /** Its name for people. */
      title: string;
      /** Where it is. */
      url: string;
    };
    /** `server.draining`. */
    Draining: {
      reconnectAfterMs: number;
    };
    /**
     * What went wrong, as programs read it. The names on the wire are those of docs/protocol.md.
     * @enum {string}
     */
    ErrorCode: "bad_json" | "bad_message" | "unknown_type" | "too_large" | "unauthenticated" | "token_invalid" | "token_expired" | "signature_invalid" | "not_configured" | "credentials_wrong" | "name_taken" | "password_refused" | "forbidden" | "not_found" | "method_not_allowed" | "not_joined" | "already_joined" | "bad_sdp" | "sdp_unusable" | "no_common_codec" | "codec_mismatch" | "layer_unknown" | "unsupported_media_type" | "not_acceptable" | "precondition_required" | "precondition_failed" | "text_empty" | "text_too_long" | "muted" | "banned" | "slow_mode" | "audience_only" | "link_refused" | "word_refused" | "emoji_unknown" | "rate_limited" | "timed_out" | "busy" | "draining" | "unavailable" | "catalogue_away" | "room_over" | "address_refused" | "room_state" | "invalid_value" | "internal";
    /** The same event elsewhere. */
    ExternalLink: {
      /** What it is called for people. */
      platform: string;
      /** Where it is. */
      url: string;
    };
    /** What somebody may do in a room. */
    Grants: {
      /** Write to the chat. */
      chat: boolean;
      /** Keep order. */
      moderate: boolean;
      /** Send media. */
      publish: boolean;
      /** Send reactions. */
      react: boolean;
    };
    /** A message that a moderator looks at first. */
    Held: {
      /** Who wants to say it. */
      from: components["schemas"]["Author"];
      /** A UUID that rises with time. */
      heldId: string;
      /** Why: `link` or `word`. */
      reason: string;
      /** What is to be said. */
      text: string;
      /** Milliseconds since 1970 (UTC). */
      ts: number;
    };
    /** `mod.reviewed`: a held message is said now, or never. */
    HeldReviewed: {
      approved: boolean;
      heldId: string;
    };
    /** Who helps. */
    Helper: {
      /** The id of the person. */
      identity: string;
      /** What others call them. */
      name?: string;
      role: components["schemas"]["HelperRole"];
    };
    /**
     * As what somebody helps.
     * @enum {string}
     */
    HelperRole: "cohost" | "moderator";
    /** A STUN or TURN server. */
    IceServerBody: {
      credential?: string;
      urls: string[];
      username?: string;
    };
    /** The id of somebody. */
    Id: string;
    /** How encoders publish into a room. */
    Ingest: {
      /** The bearer for it. It is in no other answer, and not in this one again once it was rotated. */
      streamKey?: string;
      whipUrl: string;
    };
    /** `join`. */
    Join: {
      roomId: string;
    };
    /** The right to enter a room. */
    JoinAnswer: {
      /** Until when it may be used to connect. */
      expiresAt: string;
      grants: components["schemas"]["Grants"];
      /** As `RTCPeerConnection` takes them. */
      iceServers: components["schemas"]["IceServerBody"][];
      role: components["schemas"]["Role"];
      /** For the socket's `auth`, and the bearer for WHIP and WHEP. */
      token: string;
      whepUrl: string;
      wsUrl: string;
    };
    /** Who wants to enter. */
    JoinParameters: {
      /** What a guest is called; who shows a token has a name. */
      name?: string | null;
    };
    /** `joined`: all there is to know about a room at this moment. */
    Joined: {
      /** Oldest first. */
      chatHistory: components["schemas"]["ChatMessage"][];
      chatSettings: components["schemas"]["SettingsView"];
      iceServers: components["schemas"]["IceServerBody"][];
      pinned: components["schemas"]["ChatMessage"] | null;
      poll: components["schemas"]["Poll"] | null;
      /** What the room sells. */
      products: components["schemas"]["Shelf"];
      publisher: components["schemas"]["PublisherView"];
      room: components["schemas"]["RoomView"];
      /** The number of the last event that the snapshot contains. */
      seq: number;
      stats: components["schemas"]["Stats"];
      you: components["schemas"]["You"];
    };
    /** Whom to put out. */
    Kick: {
      /** The id of the person. */
      identity: string;
      /** What they are told. */
      reason?: string | null;
    };
    /** `kicked`. */
    Kicked: {
      reason?: string;
    };
    /** One layer of a video. */
    LayerView: {
      /** Whether it comes at present. */
      active: boolean;
      /** Bits a second at this moment; 0 while it does not come. */
      bitrate: number;
      /** Pixels; 0 until known. */
      height: number;
      /** Its name in `rtc.subscribe`. */
      layer: string;
      /** Pixels; 0 until known. */
      width: number;
    };
    /** `rtc.layers`. */
    Layers: {
      available: components["schemas"]["LayerView"][];
      /** What the publisher sends, where that is the reason. */
      codec?: string;
      reason: components["schemas"]["LayersReason"];
      /** Which of them comes; `null` until one does, and while the network carries none. */
      selected: string | null;
    };
    /**
     * Why a viewer gets what it gets.
     * @enum {string}
     */
    LayersReason: "auto" | "manual" | "unavailable" | "bandwidth" | "codec_mismatch";
    /** Whether somebody likes a room, and how many do. */
    Likes: {
      /** Whether who asks does. */
      liked: boolean;
      /** How many do. */
      likes: number;
    };
    /** Somebody who may not write or enter. */
    Limit: components["schemas"]["User"] & {
      /** How many addresses are shut out with them; missing: none. */
      addresses?: number;
      /** Why. */
      reason?: string;
      /** Until when; missing: for good. */
      until?: string;
    };
    /**
     * What becomes of messages with links.
     * @enum {string}
     */
    LinkRule: "allow" | "hold" | "refuse";
    /** `analytics` on the socket. */
    LiveAnalytics: {
      at: string;
      averageWatchSec: number;
      engagedViewers: number;
      /** Reports of the last minute by the age of the picture. */
      latency: components["schemas"]["Classes"][];
      /** Sessions by the size of the picture that they are shown. */
      layers: {
        [key: string]: number;
      };
      likes: number;
      messages: number;
      orders: number;
      peakWatching: number;
      reactions: number;
      revenue: components["schemas"]["Revenue"];
      stallsPerHour?: number;
      startedAt: string;
      /** Viewers whose clients said that something kept them from watching, by what it was; each once for each reason. */
      troubles: {
        [key: string]: number;
      };
      uniqueViewers: number;
      visits: number;
      watchTimeSec: number;
      watching: number;
    };
    /** Who signs in. */
    Login: {
      /** May be left out on servers for development. */
      password?: string | null;
      username: string;
    };
    /** Where to sign out. */
    Logout: {
      /** Ends every sign-in of the account, and not only that of the bearer. */
      everywhere?: boolean;
    };
    /** The bearer, as they see themselves. */
    Me: {
      id: string;
      /** Whether they may create rooms. */
      mayHost: boolean;
      name: string;
      /** Outside of rooms. */
      role: components["schemas"]["Role"];
    };
    /**
     * Sound or video.
     * @enum {string}
     */
    MediaKind: "audio" | "video";
    /**
     * What a chat message is.
     * @enum {string}
     */
    MessageKind: "chat" | "system" | "order";
    /** `mod.ban`. */
    ModBan: {
      identity: string;
      name?: string;
      reason?: string | null;
      /** 0 lifts it; left out: for good. */
      seconds?: number | null;
    };
    /** `mod.kick`. */
    ModKick: {
      identity: string;
      reason?: string | null;
    };
    /** `mod.mute`. */
    ModMute: {
      identity: string;
      name?: string;
      reason?: string | null;
      /** 0 lifts it; left out: for good. */
      seconds?: number | null;
    };
    /** `mod.review`. */
    ModReview: {
      approve: boolean;
      heldId: string;
    };
    /** `mod.role`. */
    ModRole: {
      identity: string;
      name?: string;
      role?: components["schemas"]["Role"] | null;
    };
    /** `mod.slow`. */
    ModSlow: {
      /** 0 ends it. */
      seconds: number;
    };
    /** Whom to keep from writing or entering. */
    NewLimit: {
      /** The id of the person. */
      identity: string;
      /** What moderators call them. */
      name?: string;
      /** Why, for moderators, and for who is put out. */
      reason?: string | null;
      /** For how long; for good where it is left out. */
      seconds?: number | null;
    };
    /** Something to say. */
    NewMessage: {
      /**
       * The sender's own id of it: saying it again under the same one says nothing more. Where it is left out, the
       *     `Idempotency-Key` is.
       */
      clientId?: string | null;
      /** `chat` where it is left out. */
      kind?: components["schemas"]["SaidKind"];
      /** The ids of those who are meant, of whom the room knows. */
      mentions?: components["schemas"]["Id"][];
      /** The id of the product that it is about, where the room sells it. */
      productId?: string | null;
      /** The id of the message that it answers. */
      replyTo?: string | null;
      /** At most 500 characters as people count them (grapheme clusters, UAX #29). */
      text: string;
    };
    /** The present password and the next. */
    NewPassword: {
      newPassword: string;
      password: string;
    };
    /** A poll to be opened. */
    NewPoll: {
      /** What can be answered, of 80 characters at most. */
      options: components["schemas"]["PollAnswer"][];
      /** What is asked. */
      question: string;
    };
    /** A product to be added. */
    NewProduct: {
      /** Where it is bought. */
      buyUrl?: string | null;
      /** Three letters (ISO 4217). */
      currency?: string;
      /** What the shop calls it: orders may name it so. */
      externalId?: string | null;
      /** A picture of it. */
      imageUrl?: string | null;
      /**
       * Its name for people. With an `externalId` it may be left out where the server has a catalogue, as price and currency
       *     may: the shop's are taken, and its picture, stock and all else that is left out.
       */
      name?: string;
      /** What it cost before; not less than `price`. */
      originalPrice?: number | null;
      /** What it costs now, in the smallest unit of the currency: cents, whole dong. */
      price?: number;
      /** The most that one order may have of it, for viewers to know. */
      quantityLimit?: number | null;
      /** How many there are; orders lower it. Nobody counts where it is left out. */
      stock?: number | null;
    };
    /** A question to be asked. */
    NewQuestion: {
      /**
       * The sender's own id of it: asked again under the same one, it is the same question. Over REST an
       *     `Idempotency-Key` stands for it.
       */
      clientId?: string | null;
      /** What is asked. */
      text: string;
    };
    /** What somebody feels. */
    NewReaction: {
      /** One of `reactions` of `GET /config`. */
      emoji: string;
    };
    /** A room to be created. */
    NewRoom: {
      /** Whether guests may chat and react. */
      allowGuestChat?: boolean;
      /** What it is listed under: a word of lower-case letters, digits and hyphens. */
      category?: string | null;
      /** What it is about. */
      description?: string;
      /** What there is to read beside the picture. */
      documents?: components["schemas"]["Document"][];
      externalLink?: components["schemas"]["ExternalLink"] | null;
      /** A picture of the host. */
      hostAvatarUrl?: string | null;
      /**
       * How long viewers let pictures wait before they show them, in milliseconds: 0 for a conversation, more for pictures
       *     that stand still less often; `null` leaves it to each viewer's player.
       */
      playoutDelayMs?: number | null;
      /** The best picture that the host means to send. */
      quality?: components["schemas"]["Quality"];
      /** Whether it waits for another event when one has ended. */
      reusable?: boolean;
      /** When it is to begin. */
      scheduledAt?: string | null;
      /** Its name for people. */
      title: string;
      visibility?: components["schemas"]["Visibility"] | null;
    };
    /** A new secret. */
    NewSecret: {
      /** Until when the one before signs, too. */
      oldSecretUntil: string;
      /** What each request is signed with from now on; shown here and never again. */
      secret: string;
    };
    /** A webhook to be added. */
    NewWebhook: {
      /** What it is, for people. */
      description?: string | null;
      /** Whether it is told at present; it is where this is left out. */
      enabled?: boolean | null;
      /** Kinds of events, or `*` alone for all; all where it is left out. */
      events?: string[] | null;
      /** Only of the rooms of this host. */
      ownerId?: string | null;
      /** Only of this room. */
      roomId?: string | null;
      /** Where it listens. */
      url: string;
    };
    /** A server, and what it has to do. */
    NodeView: {
      /** Whether it takes no more: nobody new, and no new room. */
      draining: boolean;
      /** Its name for as long as it runs; another after each start. */
      id: string;
      /** Those of them whose media is coming. */
      liveRooms: number;
      /** How much of its time the busiest forwarding thread worked lately. */
      load: number;
      /** Where clients are told to send media. */
      mediaAddresses: string[];
      /** Sockets that are in a room. */
      participants: number;
      /** Rooms in memory. */
      rooms: number;
      startedAt: string;
      version: string;
      /** Viewing sessions that are open, those of players that came by WHEP among them. */
      viewers: number;
    };
    /** Viewers with one class of device. */
    OfDevice: {
      /** `phone`, `tablet`, `tv`, `desktop`, `player` or `other`. */
      device: string;
      viewers: number;
    };
    /** Time with one size of picture. */
    OfLayer: {
      /** `audio`, `240p`, `360p`, `480p`, `720p`, `1080p`, `1440p` or `2160p`: up to so many lines. */
      layer: string;
      watchTimeSec: number;
    };
    /** One minute. */
    OfMinute: {
      /** When it began. */
      at: string;
      /** Viewers who watched, on the average of its seconds. */
      averageWatching: number;
      framesPerSecond?: number;
      messages: number;
      /** Viewers who had not watched before. */
      newViewers: number;
      orders: number;
      /** The most viewers who watched at once. */
      peakWatching: number;
      reactions: number;
      revenue: components["schemas"]["Revenue"];
      stalls: number;
      /** Freezes in an hour of those who report; left out: nobody does. */
      stallsPerHour?: number;
      visits: number;
      watchTimeSec: number;
    };
    /** Viewers of one country. */
    OfRegion: {
      /** Two letters (ISO 3166-1); `ZZ`: unknown. */
      region: string;
      viewers: number;
    };
    /** What a moderator thinks of a message. */
    Opinion: {
      /** Whether it is said. */
      approve: boolean;
    };
    /** What became of an order. */
    OrderAnswer: {
      /** Whether it had not been told of before. */
      new: boolean;
    };
    /** An order as a shop tells of it. */
    OrderBody: {
      /** What was paid for all of them, in the smallest unit of the currency; the product's price where it is left out. */
      amount?: number | null;
      /** Three letters (ISO 4217); that of the product where it is left out. */
      currency?: string | null;
      /** What the buyer is called in the chat. */
      displayName: string;
      /** The shop's own id of it: telling of it again changes nothing. */
      orderId: string;
      /** The product's `id` or its `externalId`. */
      productId?: string | null;
      /** What it is called; that of the product where it is left out. */
      productName?: string | null;
      /** How many; 1 where it is left out. */
      quantity?: number | null;
      /** The room in which it was bought. */
      roomId: string;
      /** The buyer's identity, as the application's tokens have it. */
      userId?: string | null;
    };
    /** `order`: somebody bought something. */
    OrderView: {
      /** Milliseconds since 1970. */
      capturedAt?: number;
      displayName: string;
      /** What the chat says of it. */
      messageId: string;
      /** Missing for what the room does not list. */
      productId?: string;
      productName: string;
    };
    /** A poll and what who asks chose. */
    OwnPoll: components["schemas"]["Poll"] & {
      /** The place of the option that who asks chose, from 0 on; missing while they have not. */
      chosen?: number;
    };
    /** A question and whether who asks wants to know it, too. */
    OwnQuestion: components["schemas"]["Question"] & {
      /** Whether who asks voted for it. */
      voted: boolean;
    };
    /** Somebody as others see them. */
    Participant: {
      id: string;
      name: string;
      role: components["schemas"]["Role"];
    };
    /** Who is in a room. Moderators get the list as well as the count. */
    People: {
      items?: components["schemas"]["Person"][];
      /** What to ask for the next page with; missing on the last one. */
      nextCursor?: string;
      /** People among them: one who watches twice counts once. */
      unique: number;
      /** Those who watch, or are about to: each socket and each player counts. */
      viewerCount: number;
    };
    /** Somebody who is in a room. */
    Person: {
      /** Their picture, where the server's profiles have one. */
      avatarUrl?: string;
      id: string;
      name: string;
      role: components["schemas"]["Role"];
      /** Whether they have a viewing session. */
      watching: boolean;
    };
    /** How players watch a room. */
    Playback: {
      whepUrl: string;
    };
    /** A poll, on the wire too. */
    Poll: {
      /** When it took no more. */
      closedAt?: number;
      /** Whether it takes votes. */
      open: boolean;
      /** Milliseconds since 1970 (UTC). */
      openedAt: number;
      /** What can be answered, two to six. */
      options: components["schemas"]["PollOption"][];
      /** A UUID that rises with time. */
      pollId: string;
      /** What is asked. */
      question: string;
    };
    /** What can be answered. */
    PollAnswer: string;
    /** What can be answered. */
    PollOption: {
      /** Its words. */
      text: string;
      /** Who chose it. */
      votes: number;
    };
    /** `poll`: how the last poll stands. */
    PollView: components["schemas"]["Poll"] & {
      /** When the host opened or closed it, in milliseconds since 1970. */
      capturedAt?: number;
    };
    /** What went wrong (RFC 9457). */
    Problem: {
      /** What programs go by: docs/protocol.md lists them. */
      code: string;
      /** One sentence for the person who reads it. */
      detail: string;
      status: number;
      title: string;
      /** `about:blank`. */
      type: string;
    };
    /** A product, in the database and on the wire. */
    Product: {
      /** Where it is bought. */
      buyUrl?: string;
      /** Three letters (ISO 4217). */
      currency: string;
      /** How much less that is, in whole per cent, rounded down. */
      discountPercent: number;
      /** What the shop calls it. */
      externalId?: string;
      /** A UUID. */
      id: string;
      /** A picture of it. */
      imageUrl?: string;
      /** Its name for people. */
      name: string;
      /** What it cost before. */
      originalPrice?: number;
      /** What it costs now, in the smallest unit of the currency: cents, whole dong. */
      price: number;
      /** The most that one order may have of it. */
      quantityLimit?: number;
      /** How many were bought. */
      sold: number;
      /** What is left; missing where nobody counts. */
      stock?: number;
    };
    /** `product.feature`. */
    ProductFeature: {
      /** `null`: none any more. */
      productId?: string | null;
    };
    /** A product that a message is about, as it was called then. */
    ProductName: {
      /** Its id. */
      id: string;
      /** Its name. */
      name: string;
    };
    /** What to change in a product. What is left out stays; `null` takes away what may be missing. */
    ProductPatch: {
      /**
       * Where it is bought.
       * @default null
       */
      buyUrl?: string | null;
      /**
       * Three letters (ISO 4217).
       * @default null
       */
      currency?: string;
      /**
       * What the shop calls it.
       * @default null
       */
      externalId?: string | null;
      /**
       * A picture of it.
       * @default null
       */
      imageUrl?: string | null;
      /**
       * Its name for people.
       * @default null
       */
      name?: string;
      /**
       * What it cost before.
       * @default null
       */
      originalPrice?: number | null;
      /**
       * What it costs now, in the smallest unit of the currency.
       * @default null
       */
      price?: number;
      /**
       * The most that one order may have of it.
       * @default null
       */
      quantityLimit?: number | null;
      /**
       * How many are left.
       * @default null
       */
      stock?: number | null;
    };
    /** What everybody knows of how a chat is set. */
    PublicSettings: {
      /**
       * Who may write.
       * @default everyone
       */
      audience: components["schemas"]["Audience"];
      /**
       * What becomes of messages with links.
       * @default allow
       */
      links: components["schemas"]["LinkRule"];
      /**
       * Seconds between two messages of one person; 0: no more than five a second.
       * @default 0
       */
      slowModeSec: number;
    };
    /**
     * Whether there is something to watch.
     * @enum {string}
     */
    PublisherState: "none" | "live" | "interrupted";
    /** `rtc.publisher`: the one whom everybody watches. */
    PublisherView: {
      audio: boolean;
      audioMuted: boolean;
      state: components["schemas"]["PublisherState"];
      video: boolean;
      videoCodec?: string;
      videoMuted: boolean;
    };
    /**
     * The best picture that the host means to send.
     * @enum {string}
     */
    Quality: "auto" | "360p" | "480p" | "720p" | "1080p";
    /** A question, on the wire too. */
    Question: {
      /** Whether it was answered. */
      answered: boolean;
      /** Who asks. */
      from: components["schemas"]["Author"];
      /** A UUID that rises with time. */
      questionId: string;
      /** What is asked. */
      text: string;
      /** Milliseconds since 1970 (UTC). */
      ts: number;
      /** Who want to know it, too. */
      votes: number;
    };
    /** `question.removed`. */
    QuestionRemoved: {
      questionId: string;
    };
    /** `reaction.batch`. */
    ReactionBatch: {
      /** How often each was sent since the last time. */
      counts: {
        [key: string]: number;
      };
    };
    /** `reaction.send`. */
    ReactionSend: {
      emoji: string;
    };
    /** The token that is changed for new ones. */
    Refresh: {
      refreshToken: string;
    };
    /** What an `error` says. */
    Refusal: {
      code: components["schemas"]["ErrorCode"];
      /** One sentence for the person who reads it. */
      message: string;
      /** When to try again. */
      retryAfterMs?: number;
    };
    /** Who wants an account. */
    Registration: {
      /** At least 8 characters, 4 of them different; 256 bytes at most. */
      password: string;
      username: string;
    };
    /** `question.remove`. */
    RemoveQuestion: {
      questionId: string;
    };
    /** What to tell again. */
    ReplayBody: {
      /** What happened since then. */
      from: string;
      status?: components["schemas"]["DeliveryStatus"] | null;
      /** What happened before then; until now where it is left out. */
      until?: string | null;
    };
    /** What is told again. */
    Replayed: {
      /** How many events; ten thousand at most, the oldest first. */
      replayed: number;
    };
    /** What somebody told the moderators of a message. */
    Report: {
      /** Who told it. */
      by: components["schemas"]["Author"];
      /** What it is about, as it is now. */
      message: components["schemas"]["ChatMessage"];
      /** Why. */
      reason: string;
      /** A UUID that rises with time. */
      reportId: string;
      /** Milliseconds since 1970 (UTC). */
      ts: number;
    };
    /** `mod.resolved`: a moderator has done with a report. */
    ReportResolved: {
      reportId: string;
    };
    /** `resume`. */
    Resume: {
      lastSeq: number;
      roomId: string;
    };
    /** What a room earned, by currency, in the smallest unit of each. */
    Revenue: {
      [key: string]: number;
    };
    /**
     * What somebody is in a room.
     * @enum {string}
     */
    Role: "admin" | "owner" | "cohost" | "moderator" | "viewer" | "guest";
    /** A room. */
    Room: {
      /** Whether guests may chat and react. */
      allowGuestChat: boolean;
      /** What it is listed under. */
      category?: string;
      createdAt: string;
      /** What it is about; may be empty. */
      description: string;
      /** What there is to read beside the picture. */
      documents: components["schemas"]["Document"][];
      /** When it was over. */
      endedAt?: string;
      externalLink?: components["schemas"]["ExternalLink"];
      /** A picture of the host. */
      hostAvatarUrl?: string;
      /** Its name in the API. */
      id: string;
      /** Who created it. */
      owner: components["schemas"]["User"];
      /** How long viewers let pictures wait before they show them, in milliseconds. */
      playoutDelayMs?: number;
      quality: components["schemas"]["Quality"];
      /** Whether it waits for another event when one has ended. */
      reusable: boolean;
      /** When it is to begin. */
      scheduledAt?: string;
      /** When media first came. */
      startedAt?: string;
      status: components["schemas"]["RoomStatus"];
      /** Once it is over. */
      summary?: components["schemas"]["Summary"];
      /** Where a picture of it is, on this server: of what it shows while it is on air, else the one that its owner gave it. */
      thumbnailUrl?: string;
      /** Its name for people. */
      title: string;
      /** Viewing sessions that are open. */
      viewerCount: number;
      visibility: components["schemas"]["Visibility"];
    };
    /**
     * In which order rooms are listed.
     * @enum {string}
     */
    RoomOrder: "active" | "newest" | "popular" | "soonest";
    /** What to change in a room. What is left out stays; `null` takes away what may be missing. */
    RoomPatch: {
      /**
       * Whether guests may chat and react.
       * @default null
       */
      allowGuestChat?: boolean;
      /**
       * What it is listed under: a word of lower-case letters, digits and hyphens.
       * @default null
       */
      category?: string | null;
      /**
       * What it is about.
       * @default null
       */
      description?: string;
      /**
       * What there is to read beside the picture: all of it.
       * @default null
       */
      documents?: components["schemas"]["Document"][];
      /** @default null */
      externalLink?: components["schemas"]["ExternalLink"] | null;
      /**
       * A picture of the host.
       * @default null
       */
      hostAvatarUrl?: string | null;
      /**
       * How long viewers let pictures wait before they show them, in milliseconds; `null` leaves it to each viewer's player.
       * @default null
       */
      playoutDelayMs?: number | null;
      /**
       * The best picture that the host means to send.
       * @default null
       */
      quality?: components["schemas"]["Quality"];
      /**
       * Whether it waits for another event when one has ended.
       * @default null
       */
      reusable?: boolean;
      /**
       * When it is to begin.
       * @default null
       */
      scheduledAt?: string | null;
      /**
       * Its name for people.
       * @default null
       */
      title?: string;
      /**
       * Who may know of it.
       * @default null
       */
      visibility?: components["schemas"]["Visibility"];
    };
    /**
     * Where a room is in its life (docs/rooms.md).
     * @enum {string}
     */
    RoomStatus: "scheduled" | "ready" | "live" | "interrupted" | "ended" | "processing" | "archived" | "cancelled";
    /** `room.status`. */
    RoomStatusView: {
      endedAt?: string;
      reason: components["schemas"]["StatusReason"];
      startedAt?: string;
      status: components["schemas"]["RoomStatus"];
      /** Once it is over. */
      summary?: components["schemas"]["Summary"];
    };
    /** `room.updated`. */
    RoomUpdated: {
      room: components["schemas"]["RoomView"];
    };
    /** A room on the socket. */
    RoomView: {
      allowGuestChat: boolean;
      category?: string;
      description?: string;
      documents?: components["schemas"]["Document"][];
      endedAt?: string;
      externalLink?: components["schemas"]["ExternalLink"];
      hostAvatarUrl?: string;
      id: string;
      owner: components["schemas"]["User"];
      /** How long pictures wait, in milliseconds; left out where each player chooses. */
      playoutDelayMs?: number;
      scheduledAt?: string;
      startedAt?: string;
      status: components["schemas"]["RoomStatus"];
      /** What the last show came to: in `joined`, for an hour after its end. */
      summary?: components["schemas"]["Summary"];
      title: string;
      visibility: components["schemas"]["Visibility"];
    };
    /** What becomes of who publishes with an older key. */
    Rotation: {
      /**
       * Whether who publishes with an older key has to stop: the room is interrupted, and waits for who comes with the
       *     new one. Otherwise they go on until they stop by themselves.
       */
      stopEncoder?: boolean;
    };
    /** `rtc.answer`, in both directions. */
    RtcAnswer: {
      sdp: string;
      sessionId: string;
    };
    /** `rtc.candidate`. */
    RtcCandidate: {
      candidate: components["schemas"]["Candidate"];
      sessionId: string;
    };
    /** `rtc.mute`. */
    RtcMute: {
      kind: components["schemas"]["MediaKind"];
      muted: boolean;
    };
    /** `rtc.offer` of a publisher. */
    RtcOffer: {
      sdp: string;
      /** `None` opens a session. */
      sessionId?: string | null;
    };
    /** `rtc.report`: what a viewing session counted since it began. */
    RtcReport: {
      /** From its asking to its first frame. */
      firstFrameMs?: number | null;
      framesDecoded?: number;
      /** How old the picture is that is shown. */
      latencyMs?: number | null;
      sessionId: string;
      stalledMs?: number;
      stalls?: number;
    };
    /** `rtc.subscribe`. */
    RtcSubscribe: {
      /** `auto`, the name of a layer, or that with `:0` to `:3` behind it. */
      layer?: string;
    };
    /** `rtc.trouble`: what keeps a viewer from watching. */
    RtcTrouble: {
      reason: components["schemas"]["Trouble"];
    };
    /** What somebody wants to say. */
    Said: {
      /** `chat` where it is left out. */
      kind?: components["schemas"]["SaidKind"];
      /** The ids of those who are meant, of whom the room knows: ten at most. */
      mentions?: string[];
      /** The id of the product that it is about, where the room sells it. */
      productId?: string | null;
      /** The id of the message that it answers. */
      replyTo?: string | null;
      /** At most 500 characters as people count them (grapheme clusters, UAX #29). */
      text: string;
    };
    /**
     * What somebody may say.
     * @enum {string}
     */
    SaidKind: "chat" | "system";
    ServerMessage: {
      d: {
        /** The `id` of the message that it answers. */
        re: string;
      } & components["schemas"]["Ack"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "ack";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: {
        /** The `id` of the message that it answers. */
        re?: string;
      } & components["schemas"]["Refusal"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "error";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Joined"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "joined";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["You"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "you";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["SessionSdp"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "rtc.offer";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["SessionSdp"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "rtc.answer";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["PublisherView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "rtc.publisher";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Layers"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "rtc.layers";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["SessionState"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "rtc.state";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["RoomStatusView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "room.status";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["RoomUpdated"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "room.updated";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Stats"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "stats";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["LiveAnalytics"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "analytics";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ReactionBatch"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "reaction.batch";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ChatMessage"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "chat.message";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ChatDeleted"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "chat.deleted";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ChatPinned"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "chat.pinned";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["SettingsView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "chat.settings";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Attendance"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "participant.joined";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Attendance"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "participant.left";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Held"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "mod.held";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["HeldReviewed"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "mod.reviewed";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Report"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "mod.report";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ReportResolved"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "mod.resolved";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["ShelfView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "products";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Product"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "product";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["OrderView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "order";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["PollView"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "poll";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Question"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "question";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["QuestionRemoved"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "question.removed";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Kicked"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "kicked";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["TokenRefresh"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "token.refresh";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    } | {
      d: components["schemas"]["Draining"];
      /** The number of a room event that `resume` replays. */
      seq?: number;
      /** @constant */
      t: "server.draining";
      /** Milliseconds since 1970 (UTC) at the server. */
      ts: number;
    };
    /** `rtc.keyframe`, `rtc.restart` and `rtc.close`. */
    SessionName: {
      sessionId: string;
    };
    /** `rtc.offer` and `rtc.answer` of the server. */
    SessionSdp: {
      sdp: string;
      sessionId: string;
    };
    /**
     * How far a session is.
     * @enum {string}
     */
    SessionStage: "connected" | "media" | "closed";
    /** `rtc.state`. */
    SessionState: {
      reason?: string;
      sessionId: string;
      state: components["schemas"]["SessionStage"];
    };
    /** What to change in how a chat is set. What is left out stays. */
    SettingsPatch: {
      /**
       * Who may write.
       * @default null
       */
      audience?: components["schemas"]["Audience"];
      /**
       * Whether the words of the built-in list are not to be said either.
       * @default null
       */
      builtInWords?: boolean;
      /**
       * Whether guests may write and react.
       * @default null
       */
      guests?: boolean;
      /**
       * What becomes of messages with links.
       * @default null
       */
      links?: components["schemas"]["LinkRule"];
      /**
       * Seconds between two messages of one person; 0: no more than five a second.
       * @default null
       */
      slowModeSec?: number;
      /**
       * What becomes of a message with one of these words.
       * @default null
       */
      wordRule?: components["schemas"]["WordRule"];
      /**
       * Words and phrases that are not to be said here: all of them. 200 at most, of 60 characters.
       * @default null
       */
      words?: string[];
    };
    /** `chat.settings`. */
    SettingsView: components["schemas"]["PublicSettings"] & {
      /** Whether guests may write. */
      guests: boolean;
    };
    /** What a room sells: `products` on the wire. */
    Shelf: {
      /** The one that is shown large; `null`: none. */
      featuredId: string | null;
      /** In their order. */
      list: components["schemas"]["Product"][];
    };
    /** `products`: what the room sells. */
    ShelfView: components["schemas"]["Shelf"] & {
      /** When the host changed it last, in milliseconds since 1970; missing: not since the room was opened here. */
      capturedAt?: number;
    };
    /** What a client gets when somebody signs in. */
    SignedIn: {
      accessToken: string;
      expiresAt: string;
      refreshExpiresAt: string;
      /** Good once, for new tokens. */
      refreshToken: string;
      user: components["schemas"]["AccountView"];
    };
    /** Somebody. */
    Somebody: {
      /** The id of the person. */
      identity: string;
      /** What others call them. */
      name?: string;
    };
    /** `stats`. */
    Stats: {
      likes: number;
      /** The most viewers the room ever had. */
      peak: number;
      /** Sockets with a viewing session. */
      viewerCount: number;
    };
    /** How a room stands. */
    StatusAnswer: {
      /** Seconds since then, or until it was over; `null` before. */
      durationSec?: number | null;
      /** The lines of the best picture that comes, such as `720p`; `null` while none does. */
      quality?: string | null;
      /** When media first came; `null` before. */
      startedAt?: string | null;
      status: components["schemas"]["RoomStatus"];
      /** Viewing sessions that are open. */
      viewerCount: number;
    };
    /**
     * Why a status changed, on the wire.
     * @enum {string}
     */
    StatusReason: "owner" | "publisher" | "media" | "publisher_lost" | "grace_over" | "owner_gone" | "clean_up" | "restart" | "recording" | "reuse";
    /** What is said of a room once it is over. */
    Summary: {
      /** From the first media to the end. */
      durationSec: number;
      /** Who like the room. */
      likes: number;
      /** Chat messages, those about orders included. */
      messages: number;
      /** Orders. */
      orders: number;
      /** The most viewing sessions at once. */
      peakViewers: number;
      /** What they came to, by currency, in the smallest unit of each. */
      revenue: components["schemas"]["Revenue"];
      /** Viewing sessions that there were. */
      totalViewers: number;
      /** How long media really came to viewers, together. */
      watchTimeSec: number;
    };
    /** Minutes of a room's last event. */
    TimeSeries: {
      /** In their order. A minute in which nothing happened is left out. */
      items: components["schemas"]["OfMinute"][];
      /** The `from` of the next page; left out: there is none. */
      next?: string;
    };
    /** `token.refresh`: what to show instead of the token before. */
    TokenRefresh: {
      /** Until when it may be used to connect. */
      expiresAt: string;
      token: string;
    };
    /** What a host's rooms came to, together. */
    Totals: {
      /** From the first media to the end, of those that are over. */
      durationSec: number;
      /** Rooms that ever had media. */
      events: number;
      /** Chat messages. */
      messages: number;
      /** The most viewing sessions that one of them had at once. */
      peakViewers: number;
      /** Viewing sessions that there were. */
      totalViewers: number;
      /** What all of them watched, together. */
      watchTimeSec: number;
    };
    /**
     * Why somebody cannot watch, as their client found out.
     * @enum {string}
     */
    Trouble: "no_udp" | "blocked" | "turn_refused" | "ice_failed" | "dtls_failed" | "codec" | "token" | "full" | "unreachable";
    /** One who signed in. */
    User: {
      /** A UUID that rises with time. */
      id: string;
      /** As it was written at the first sign-in. */
      name: string;
    };
    /**
     * Who may know of a room.
     * @enum {string}
     */
    Visibility: "public" | "unlisted" | "private";
    /** A vote. */
    Vote: {
      /** The place of the option, from 0 on. */
      option: number;
    };
    /** `poll.vote`. */
    VotePoll: {
      /** The place of the option, from 0 on. */
      option: number;
      pollId: string;
    };
    /** `question.vote`. */
    VoteQuestion: {
      questionId: string;
      /** Whether the sender wants to know it, too. */
      up: boolean;
    };
    /** A webhook. */
    Webhook: {
      createdAt: string;
      /** What it is, for people; may be empty. */
      description: string;
      /** Whether it is told at present. */
      enabled: boolean;
      /** Kinds of events, or `*` alone: all. */
      events: string[];
      /** Since when nothing gets through; `null` while the last attempt did. */
      failingSince?: string | null;
      id: string;
      /** Until when the secret before signs, too; `null` where there is none. */
      oldSecretUntil?: string | null;
      /** Only of the rooms of this host. */
      ownerId?: string | null;
      /** Only of this room. */
      roomId?: string | null;
      /** Where it listens. */
      url: string;
    };
    /** What to change about a webhook. What is left out stays; `null` takes away what may be missing. */
    WebhookPatch: {
      /**
       * What it is, for people.
       * @default null
       */
      description?: string | null;
      /**
       * Whether it is told at present. What waits is told when it is again, within the time for it.
       * @default null
       */
      enabled?: boolean;
      /**
       * Kinds of events, or `*` alone for all.
       * @default null
       */
      events?: string[];
      /**
       * Only of the rooms of this host.
       * @default null
       */
      ownerId?: string | null;
      /**
       * Only of this room.
       * @default null
       */
      roomId?: string | null;
      /**
       * Where it listens. What waits goes there, too.
       * @default null
       */
      url?: string;
    };
    /**
     * What becomes of messages with a word of a list.
     * @enum {string}
     */
    WordRule: "refuse" | "hold";
    /** `you`, and the receiver of `joined`. */
    You: components["schemas"]["Participant"] & {
      grants: components["schemas"]["Grants"];
      /** Whether a moderator took them the word. */
      muted: boolean;
      /** Until when; `None`: for good, or not at all. */
      mutedUntil?: string;
    };
  };
}
export type AccountRole = components['schemas']['AccountRole'];
export type AccountView = components['schemas']['AccountView'];
export type Ack = components['schemas']['Ack'];
export type Analytics = components['schemas']['Analytics'];
export type AnswerQuestion = components['schemas']['AnswerQuestion'];
export type AnsweredMessage = components['schemas']['AnsweredMessage'];
export type AnsweredQuestion = components['schemas']['AnsweredQuestion'];
export type Arrangement = components['schemas']['Arrangement'];
export type Attendance = components['schemas']['Attendance'];
export type Audience = components['schemas']['Audience'];
export type Audit = components['schemas']['Audit'];
export type Auth = components['schemas']['Auth'];
export type Author = components['schemas']['Author'];
export type Banned = components['schemas']['Banned'];
export type Candidate = components['schemas']['Candidate'];
export type ChatDelete = components['schemas']['ChatDelete'];
export type ChatDeleted = components['schemas']['ChatDeleted'];
export type ChatMessage = components['schemas']['ChatMessage'];
export type ChatPin = components['schemas']['ChatPin'];
export type ChatPinned = components['schemas']['ChatPinned'];
export type ChatReport = components['schemas']['ChatReport'];
export type ChatSettings = components['schemas']['ChatSettings'];
export type Classes = components['schemas']['Classes'];
export type Cleaned = components['schemas']['Cleaned'];
export type ClientConfig = components['schemas']['ClientConfig'];
export type ClientMessage = components['schemas']['ClientMessage'];
export type ClosePoll = components['schemas']['ClosePoll'];
export type Complaint = components['schemas']['Complaint'];
export type CreatedRoom = components['schemas']['CreatedRoom'];
export type CreatedWebhook = components['schemas']['CreatedWebhook'];
export type Dashboard = components['schemas']['Dashboard'];
export type Delivery = components['schemas']['Delivery'];
export type DeliveryStatus = components['schemas']['DeliveryStatus'];
export type DeliveryWithBody = components['schemas']['DeliveryWithBody'];
export type Details = components['schemas']['Details'];
export type Document = components['schemas']['Document'];
export type Draining = components['schemas']['Draining'];
export type ErrorCode = components['schemas']['ErrorCode'];
export type ExternalLink = components['schemas']['ExternalLink'];
export type Grants = components['schemas']['Grants'];
export type Held = components['schemas']['Held'];
export type HeldReviewed = components['schemas']['HeldReviewed'];
export type Helper = components['schemas']['Helper'];
export type HelperRole = components['schemas']['HelperRole'];
export type IceServerBody = components['schemas']['IceServerBody'];
export type Id = components['schemas']['Id'];
export type Ingest = components['schemas']['Ingest'];
export type Join = components['schemas']['Join'];
export type JoinAnswer = components['schemas']['JoinAnswer'];
export type JoinParameters = components['schemas']['JoinParameters'];
export type Joined = components['schemas']['Joined'];
export type Kick = components['schemas']['Kick'];
export type Kicked = components['schemas']['Kicked'];
export type LayerView = components['schemas']['LayerView'];
export type Layers = components['schemas']['Layers'];
export type LayersReason = components['schemas']['LayersReason'];
export type Likes = components['schemas']['Likes'];
export type Limit = components['schemas']['Limit'];
export type LinkRule = components['schemas']['LinkRule'];
export type LiveAnalytics = components['schemas']['LiveAnalytics'];
export type Login = components['schemas']['Login'];
export type Logout = components['schemas']['Logout'];
export type Me = components['schemas']['Me'];
export type MediaKind = components['schemas']['MediaKind'];
export type MessageKind = components['schemas']['MessageKind'];
export type ModBan = components['schemas']['ModBan'];
export type ModKick = components['schemas']['ModKick'];
export type ModMute = components['schemas']['ModMute'];
export type ModReview = components['schemas']['ModReview'];
export type ModRole = components['schemas']['ModRole'];
export type ModSlow = components['schemas']['ModSlow'];
export type NewLimit = components['schemas']['NewLimit'];
export type NewMessage = components['schemas']['NewMessage'];
export type NewPassword = components['schemas']['NewPassword'];
export type NewPoll = components['schemas']['NewPoll'];
export type NewProduct = components['schemas']['NewProduct'];
export type NewQuestion = components['schemas']['NewQuestion'];
export type NewReaction = components['schemas']['NewReaction'];
export type NewRoom = components['schemas']['NewRoom'];
export type NewSecret = components['schemas']['NewSecret'];
export type NewWebhook = components['schemas']['NewWebhook'];
export type NodeView = components['schemas']['NodeView'];
export type OfDevice = components['schemas']['OfDevice'];
export type OfLayer = components['schemas']['OfLayer'];
export type OfMinute = components['schemas']['OfMinute'];
export type OfRegion = components['schemas']['OfRegion'];
export type Opinion = components['schemas']['Opinion'];
export type OrderAnswer = components['schemas']['OrderAnswer'];
export type OrderBody = components['schemas']['OrderBody'];
export type OrderView = components['schemas']['OrderView'];
export type OwnPoll = components['schemas']['OwnPoll'];
export type OwnQuestion = components['schemas']['OwnQuestion'];
export type Participant = components['schemas']['Participant'];
export type People = components['schemas']['People'];
export type Person = components['schemas']['Person'];
export type Playback = components['schemas']['Playback'];
export type Poll = components['schemas']['Poll'];
export type PollAnswer = components['schemas']['PollAnswer'];
export type PollOption = components['schemas']['PollOption'];
export type PollView = components['schemas']['PollView'];
export type Problem = components['schemas']['Problem'];
export type Product = components['schemas']['Product'];
export type ProductFeature = components['schemas']['ProductFeature'];
export type ProductName = components['schemas']['ProductName'];
export type ProductPatch = components['schemas']['ProductPatch'];
export type PublicSettings = components['schemas']['PublicSettings'];
export type PublisherState = components['schemas']['PublisherState'];
export type PublisherView = components['schemas']['PublisherView'];
export type Quality = components['schemas']['Quality'];
export type Question = components['schemas']['Question'];
export type QuestionRemoved = components['schemas']['QuestionRemoved'];
export type ReactionBatch = components['schemas']['ReactionBatch'];
export type ReactionSend = components['schemas']['ReactionSend'];
export type Refresh = components['schemas']['Refresh'];
export type Refusal = components['schemas']['Refusal'];
export type Registration = components['schemas']['Registration'];
export type RemoveQuestion = components['schemas']['RemoveQuestion'];
export type ReplayBody = components['schemas']['ReplayBody'];
export type Replayed = components['schemas']['Replayed'];
export type Report = components['schemas']['Report'];
export type ReportResolved = components['schemas']['ReportResolved'];
export type Resume = components['schemas']['Resume'];
export type Revenue = components['schemas']['Revenue'];
export type Role = components['schemas']['Role'];
export type Room = components['schemas']['Room'];
export type RoomOrder = components['schemas']['RoomOrder'];
export type RoomPatch = components['schemas']['RoomPatch'];
export type RoomStatus = components['schemas']['RoomStatus'];
export type RoomStatusView = components['schemas']['RoomStatusView'];
export type RoomUpdated = components['schemas']['RoomUpdated'];
export type RoomView = components['schemas']['RoomView'];
export type Rotation = components['schemas']['Rotation'];
export type RtcAnswer = components['schemas']['RtcAnswer'];
export type RtcCandidate = components['schemas']['RtcCandidate'];
export type RtcMute = components['schemas']['RtcMute'];
export type RtcOffer = components['schemas']['RtcOffer'];
export type RtcReport = components['schemas']['RtcReport'];
export type RtcSubscribe = components['schemas']['RtcSubscribe'];
export type RtcTrouble = components['schemas']['RtcTrouble'];
export type Said = components['schemas']['Said'];
export type SaidKind = components['schemas']['SaidKind'];
export type ServerMessage = components['schemas']['ServerMessage'];
export type SessionName = components['schemas']['SessionName'];
export type SessionSdp = components['schemas']['SessionSdp'];
export type SessionStage = components['schemas']['SessionStage'];
export type SessionState = components['schemas']['SessionState'];
export type SettingsPatch = components['schemas']['SettingsPatch'];
export type SettingsView = components['schemas']['SettingsView'];
export type Shelf = components['schemas']['Shelf'];
export type ShelfView = components['schemas']['ShelfView'];
export type SignedIn = components['schemas']['SignedIn'];
export type Somebody = components['schemas']['Somebody'];
export type Stats = components['schemas']['Stats'];
export type StatusAnswer = components['schemas']['StatusAnswer'];
export type StatusReason = components['schemas']['StatusReason'];
export type Summary = components['schemas']['Summary'];
export type TimeSeries = components['schemas']['TimeSeries'];
export type TokenRefresh = components['schemas']['TokenRefresh'];
export type Totals = components['schemas']['Totals'];
export type Trouble = components['schemas']['Trouble'];
export type User = components['schemas']['User'];
export type Visibility = components['schemas']['Visibility'];
export type Vote = components['schemas']['Vote'];
export type VotePoll = components['schemas']['VotePoll'];
export type VoteQuestion = components['schemas']['VoteQuestion'];
export type Webhook = components['schemas']['Webhook'];
export type WebhookPatch = components['schemas']['WebhookPatch'];
export type WordRule = components['schemas']['WordRule'];
export type You = components['schemas']['You'];
