/** Who the visitor is: one sign-in for all pages, kept over visits. */

import { Api } from '@klieg/client';
import type { ServerConfig, SignIn } from '@klieg/client';
import { computed, ref, shallowRef } from 'vue';

const STORED_AS = 'klieg.sign-in';

const signedIn = shallowRef(restore());
const config = shallowRef<ServerConfig>();
/** Settled by the sign-in dialog; `undefined` while it is closed. */
const asking = shallowRef<(done: boolean) => void>();
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

function signOut(): void {
  store(undefined);
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
