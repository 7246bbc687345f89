/** Who the visitor is: one sign-in for all pages, kept over visits. */

import { Api } from '@klieg/client';
import type { ServerConfig, SignIn } from '@klieg/client';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';

const STORED_AS = 'klieg.sign-in';

const signedIn = shallowRef(restore());
const config = shallowRef<ServerConfig>();
/** Settled by the sign-in dialog; `undefined` while it is closed. */
const asking = shallowRef<(done: boolean) => void>();
/** Asked before a visitor signs out; one that resolves with false keeps them signed in. */
const guards = new Set<() => Promise<boolean>>();
const configFailed = ref(false);

/** The server these pages came from, as the visitor. */
export const api = new Api(location.origin, () => signedIn.value?.accessToken);

/** Gives the visitor's identity and the ways to change it. */
export function useSession() {
  return {
    user: computed(() => signedIn.value?.user),
    token: computed(() => signedIn.value?.accessToken),
    /** Whether the dialog is to be shown. */
    signInOpen: computed(() => asking.value !== undefined),
    requireSignIn,
    signIn,
    signOut,
    requestSignOut,
    dismissSignIn,
  };
}

/** Gives the server's settings, asked for once. */
export function useConfig() {
  if (config.value === undefined) void loadConfig();
  return { config, configFailed };
}

async function loadConfig(): Promise<void> {
  configFailed.value = false;
  try {
    config.value ??= await api.config();
  } catch {
    configFailed.value = true;
  }
}

/** Resolves with whether the visitor is signed in, after asking for it where needed. */
function requireSignIn(): Promise<boolean> {
  if (signedIn.value !== undefined) return Promise.resolve(true);
  dismissSignIn();
  return new Promise((resolve) => { asking.value = resolve; });
}

async function signIn(name: string): Promise<void> {
  const answer = await api.signIn(name);
  store(answer);
  asking.value?.(true);
  asking.value = undefined;
}

/** Signs out at once: the sign-in is worth nothing any more. */
function signOut(): void {
  store(undefined);
}

/** Signs out as the visitor wants, unless a page has them think better of it. */
async function requestSignOut(): Promise<void> {
  for (const guard of guards) {
    if (!await guard()) return;
  }
  signOut();
}

/** Has `guard` asked before a visitor signs out, for as long as the page is open. */
export function guardSignOut(guard: () => Promise<boolean>): void {
  guards.add(guard);
  onScopeDispose(() => guards.delete(guard));
}

function dismissSignIn(): void {
  asking.value?.(false);
  asking.value = undefined;
}

function store(value: SignIn | undefined): void {
  signedIn.value = value;
  try {
    if (value === undefined) localStorage.removeItem(STORED_AS);
    else localStorage.setItem(STORED_AS, JSON.stringify(value));
  } catch {
    // Storage may be forbidden: then the sign-in lasts as long as the page.
  }
}

function restore(): SignIn | undefined {
  try {
    const value = JSON.parse(localStorage.getItem(STORED_AS) ?? 'null') as SignIn | null;
    if (value !== null && Date.parse(value.expiresAt) > Date.now()) return value;
  } catch {
    // As above, or written by something else.
  }
  return undefined;
}
