/** Who is signed in: keeps the tokens over visits and in every tab, and changes them for new ones before they end. */

import { Api } from './api.js';
import { Emitter } from './emitter.js';
import { KliegError } from './error.js';
import type { Account, SignIn } from './protocol.js';

const STORED_AS = 'klieg.sign-in';

/** A token that ends so soon is changed first: what it is sent with may take its time. */
const AHEAD_MS = 60_000;

/** Where a token seems to end sooner, or the clock is wrong: no new one is asked for as often. */
const PAUSE_MS = 30_000;

/** Answers that end a sign-in for good. */
const OVER = new Set(['token_expired', 'token_invalid']);

/** What a `Session` tells. */
export interface SessionEvents {
  /** Somebody signed in, or (`undefined`) out, here or in another tab. */
  changed: { account: Account | undefined };
  /** The server does not take the sign-in any more: it ran out, or was ended elsewhere. */
  ended: void;
}

/** Where a sign-in is kept between visits, as `localStorage` does. */
export type SessionStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** One sign-in for all pages of a site. */
export class Session extends Emitter<SessionEvents> {
  /** Without a bearer of its own, but for signing out. */
  #api: Api;
  /** `undefined` where nothing may be kept: the sign-in then lasts as long as the page. */
  #storage: SessionStorage | undefined;
  /** Changes with every sign-in, renewal and sign-out; `undefined` while nobody is signed in. */
  #signIn: SignIn | undefined;
  /** The renewal under way, which all wait for; `undefined` while there is none. */
  #renewing: Promise<void> | undefined;
  /** When the tokens were last asked for, by the clock of this machine. */
  #renewedAt = 0;

  constructor(origin: string | URL, storage?: SessionStorage) {
    super();
    this.#api = new Api(origin, (refused) => this.token(refused));
    this.#storage = storage;
    this.#signIn = this.#stored();
    globalThis.addEventListener?.('storage', this.#handleStorage);
  }

  /** Whoever is signed in. */
  get account(): Account | undefined { return this.#signIn?.user; }

  /**
   * Returns a token that holds, after a renewal where needed, or `undefined` for a guest. `refused` is the one that the
   * server did not take.
   */
  async token(refused?: string): Promise<string | undefined> {
    const held = this.#signIn;
    if (held === undefined) return undefined;
    const wasRefused = held.accessToken === refused;
    const now = Date.now();
    const left = Date.parse(held.expiresAt) - now;
    const askedLately = this.#renewing === undefined && now - this.#renewedAt < PAUSE_MS;
    if (wasRefused || (left < AHEAD_MS && !askedLately)) {
      this.#renewing ??= this.#renew(held).finally(() => { this.#renewing = undefined; });
      await this.#renewing.catch((thrown: unknown) => {
        // One that still holds is as good as a new one.
        if (wasRefused || left <= 0) throw thrown;
      });
    }
    return this.#signIn?.accessToken;
  }

  /** Signs in; a server for development takes a name alone. */
  async signIn(username: string, password?: string): Promise<void> {
    this.#keep(await new Api(this.#api.origin).signIn(username, password));
  }

  /** Makes an account and signs it in. */
  async register(username: string, password: string): Promise<void> {
    this.#keep(await new Api(this.#api.origin).register(username, password));
  }

  /** Signs out here. The tokens end on the server as well, where it can be reached. */
  async signOut(): Promise<void> {
    const ended = this.#api.signOut(false).catch(() => {});
    // The call has its token by the time that it is forgotten.
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, SIGN_OUT_MS))]);
    this.#keep(undefined);
  }

  /** Ends every sign-in of the account, on every device; rejects where the server did not do it. */
  async signOutEverywhere(): Promise<void> {
    await this.#api.signOut(true);
    this.#keep(undefined);
  }

  /** Changes the password, which signs the account out everywhere else. */
  async changePassword(password: string, newPassword: string): Promise<void> {
    this.#keep(await this.#api.changePassword(password, newPassword));
  }

  /** Listens to other tabs no more. */
  close(): void {
    globalThis.removeEventListener?.('storage', this.#handleStorage);
  }

  async #renew(held: SignIn): Promise<void> {
    await alone(async () => {
      // Another tab may have done it while this one waited: a refresh token is good once.
      const stored = this.#storage === undefined ? held : this.#stored();
      if (stored?.refreshToken !== held.refreshToken) {
        this.#adopt(stored);
        return;
      }
      this.#renewedAt = Date.now();
      try {
        this.#keep(await new Api(this.#api.origin).refresh(held.refreshToken));
      } catch (thrown) {
        const error = KliegError.from(thrown);
        if (!OVER.has(error.code)) throw error;
        const now = this.#storage === undefined ? this.#signIn : this.#stored();
        if (now !== undefined && now.refreshToken !== held.refreshToken) {
          // The password was changed meanwhile, here or in another tab, which ended what was to be renewed.
          this.#adopt(now);
          return;
        }
        this.#keep(undefined);
        this.emit('ended', undefined);
      }
    });
  }

  #keep(signIn: SignIn | undefined): void {
    try {
      if (signIn === undefined) this.#storage?.removeItem(STORED_AS);
      else this.#storage?.setItem(STORED_AS, JSON.stringify(signIn));
    } catch {
      // Full or forbidden: then it lasts as long as the page.
      this.#storage = undefined;
    }
    this.#adopt(signIn);
  }

  #adopt(signIn: SignIn | undefined): void {
    const before = this.account;
    this.#signIn = signIn;
    if (before?.id !== signIn?.user.id) this.emit('changed', { account: signIn?.user });
  }

  #stored(): SignIn | undefined {
    try {
      const value = JSON.parse(this.#storage?.getItem(STORED_AS) ?? 'null') as Partial<SignIn> | null;
      const complete = value?.accessToken !== undefined && value.refreshToken !== undefined && value.user !== undefined;
      return complete && Date.parse(value.refreshExpiresAt ?? '') > Date.now() ? value as SignIn : undefined;
    } catch {
      // Forbidden, or written by something else.
      return undefined;
    }
  }

  #handleStorage = (event: Event): void => {
    const { key } = event as StorageEvent;
    if (this.#storage !== undefined && (key === STORED_AS || key === null)) this.#adopt(this.#stored());
  };
}

/** Nobody waits longer to be signed out. */
const SIGN_OUT_MS = 2_000;

/** Does something while no other tab of the site does it, where the browser can see to that. */
function alone(work: () => Promise<void>): Promise<void> {
  const locks = globalThis.navigator?.locks as LockManager | undefined;
  return locks === undefined ? work() : locks.request(STORED_AS, work);
}
