/** `<klieg-player room="…">`: a room's picture and sound on any page. Importing this file defines the element. */

import { Api } from './api.js';
import { Room } from './room.js';
import type { TokenSource } from './room.js';
import { LOOK, button, element, icon } from './stage.js';
import type { ViewerStats } from './stats.js';
import { Viewer } from './viewer.js';
import type { ViewerStatus } from './viewer.js';
import { describeRemedy, describeViewer, en, vi } from './words/index.js';
import type { Words } from './words/index.js';

/** What is there while a room is watched. */
interface Watching {
  room: Room;
  viewer: Viewer;
}

/** Where there is no DOM, on a server that renders pages, the file may be imported all the same. */
const Base = globalThis.HTMLElement ?? (EventTarget as unknown as typeof HTMLElement);

/**
 * Watches the room that its attribute `room` names, on the server that `server` names or, without it, on that from which
 * this file came; in the language of the nearest `lang`. Tells each change by a `CustomEvent` of the name `status`, whose
 * `detail` is a `ViewerStatus`.
 */
export class KliegPlayer extends Base {
  static readonly observedAttributes = ['room', 'server'];

  /** Returns the token to enter with; without it, the visitor enters as a guest. To be set before the element is on the page. */
  token: TokenSource | undefined;

  #words: Words = en;
  #watching: Watching | undefined;
  /** Whether it is on a page, and was told so: attributes that are there before are told first. */
  #placed = false;
  /** Whether it is about to watch what its attributes now name. */
  #changing = false;
  #status: ViewerStatus = { kind: 'connecting' };
  /** The browser refused to play before a touch. */
  #blocked = false;
  #video = element('video', { part: 'video', autoplay: '', playsinline: '', muted: '' });
  #badge = element('span', { part: 'badge', class: 'badge' });
  #line = element('p', { part: 'status', class: 'line', role: 'status' });
  #large = button('unmute', () => this.#touch());
  #sound = button('sound', () => this.#setMuted(!this.#video.muted));
  #full = button('fullscreen', () => void this.#toggleFullscreen());

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(LOOK);
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sheet];
    const controls = element('div', { part: 'controls', class: 'controls' });
    controls.append(this.#sound, this.#full);
    root.append(this.#video, this.#badge, this.#line, this.#large, controls);
    // The attribute alone does not count where a script made the element.
    this.#video.muted = true;
    this.#video.addEventListener('volumechange', () => this.#show());
    this.addEventListener('fullscreenchange', () => this.#show());
  }

  /** The room that is watched; another one from the next assignment on. */
  get room(): string { return this.getAttribute('room') ?? ''; }
  set room(id: string) { this.setAttribute('room', id); }

  /** What the visitor sees, for `describeViewer`. */
  get status(): ViewerStatus { return this.#status; }
  /** For a chat beside the picture, over the same connection; `undefined` while no room is watched. */
  get joined(): Room | undefined { return this.#watching?.room; }
  get viewer(): Viewer | undefined { return this.#watching?.viewer; }
  get muted(): boolean { return this.#video.muted; }
  set muted(muted: boolean) { this.#setMuted(muted); }

  /** Reads the numbers of the picture and sound that are shown. */
  async stats(): Promise<ViewerStats | undefined> {
    return await this.viewer?.stats();
  }

  /** Leaves the room; putting the element on a page anew, or naming a room, enters again. */
  close(): void {
    this.#watching?.viewer.close();
    this.#watching?.room.close();
    this.#watching = undefined;
  }

  connectedCallback(): void {
    const language = this.closest('[lang]')?.getAttribute('lang') ?? navigator.language;
    this.#words = language.toLowerCase().split('-')[0] === 'vi' ? vi : en;
    this.#video.setAttribute('aria-label', this.#words.player.video);
    this.#badge.textContent = this.#words.player.live;
    this.#placed = true;
    this.#open();
  }

  disconnectedCallback(): void {
    this.#placed = false;
    this.close();
  }

  attributeChangedCallback(_name: string, before: string | null, now: string | null): void {
    if (!this.#placed || this.#changing || before === now) return;
    this.#changing = true;
    // Another room on another server is one change.
    queueMicrotask(() => {
      this.#changing = false;
      if (this.#placed) this.#open();
    });
  }

  #open(): void {
    this.close();
    const roomId = this.room;
    if (roomId === '') {
      this.#tell({ kind: 'closed', code: 'not_found' });
      return;
    }
    let api: Api;
    try {
      api = new Api(this.getAttribute('server') ?? import.meta.url);
    } catch (thrown) {
      // An address that is none.
      console.error(thrown);
      this.#tell({ kind: 'closed', code: 'offline' });
      return;
    }
    const token: TokenSource = this.token ?? (async () => (await api.join(roomId)).token);
    const room = new Room({ url: api.socketUrl, roomId, token });
    const viewer = new Viewer(room);
    this.#watching = { room, viewer };
    viewer.on('status', (status) => this.#tell(status));
    viewer.on('stream', () => void this.#play());
    viewer.attach(this.#video);
    this.#tell(viewer.status);
    room.open();
  }

  #tell(status: ViewerStatus): void {
    this.#status = status;
    this.#show();
    this.dispatchEvent(new CustomEvent('status', { detail: status }));
  }

  /** Puts what there is to see and to press into its state. */
  #show(): void {
    const { player } = this.#words;
    const playing = this.#status.kind === 'playing';
    const muted = this.#video.muted;
    const full = document.fullscreenElement === this;
    this.toggleAttribute('playing', playing);
    this.#line.textContent = `${describeViewer(this.#status, this.#words)} ${describeRemedy(this.#status, this.#words)}`.trim();
    this.#large.hidden = !playing || (!muted && !this.#blocked);
    this.#large.textContent = this.#blocked ? player.play : player.unmute;
    icon(this.#sound, muted ? 'soundOff' : 'soundOn', muted ? player.soundOn : player.soundOff);
    icon(this.#full, full ? 'exitFullscreen' : 'fullscreen', full ? player.exitFullscreen : player.fullscreen);
  }

  async #play(): Promise<void> {
    try {
      await this.#video.play();
      this.#blocked = false;
    } catch (thrown) {
      // A newer stream interrupts the play of the last one: that is no refusal.
      if ((thrown as DOMException).name !== 'NotAllowedError') return;
      if (this.#video.muted) {
        this.#blocked = true;
      } else {
        this.#video.muted = true;
        await this.#play();
      }
    }
    this.#show();
  }

  #touch(): void {
    this.#setMuted(false);
    this.#sound.focus({ preventScroll: true });
  }

  #setMuted(muted: boolean): void {
    this.#video.muted = muted;
    if (this.#blocked || this.#video.paused) void this.#play();
    this.#show();
  }

  async #toggleFullscreen(): Promise<void> {
    const phone = this.#video as HTMLVideoElement & { webkitEnterFullscreen?: () => void };
    if (document.fullscreenElement !== null) await document.exitFullscreen();
    else if ('requestFullscreen' in this) await this.requestFullscreen().catch(() => {}); // The browser has said why.
    else phone.webkitEnterFullscreen?.();
  }
}

globalThis.customElements?.define('klieg-player', KliegPlayer);

declare global {
  interface HTMLElementTagNameMap {
    'klieg-player': KliegPlayer;
  }
}
