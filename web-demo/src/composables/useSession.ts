/** Who the visitor is: one sign-in for all pages, kept over visits. */

import { Api, Session } from '@klieg/client';
import type { ServerConfig } from '@klieg/client';
import { computed, onScopeDispose, ref, shallowRef } from 'vue';

/** The visitor's sign-in. */
export const session = new Session(location.origin, storage());

/** The server these pages came from, as the visitor. */
export const api = new Api(location.origin, (refused) => session.token(refused));

const user = shallowRef(session.account);
const config = shallowRef<ServerConfig>();
/** Settled by the sign-in dialog; `undefined` while it is closed. */
const asking = shallowRef<(done: boolean) => void>();
/** Whether the visitor has yet to read that the server ended the sign-in. */
const ended = ref(false);
/** Asked before a visitor signs out; one that resolves with false keeps them signed in. */
const guards = new Set<() => Promise<boolean>>();
const configFailed = ref(false);

session.on('changed', ({ account }) => {
  user.value = account;
  if (account !== undefined) ended.value = false;
});
session.on('ended', () => { ended.value = true; });

/** Gives the visitor's identity and the ways to change it. */
export function useSession() {
  return {
    user: computed(() => user.value),
    /** Whether the visitor has yet to read that the server ended the sign-in. */
    ended,
    /** Whether the dialog is to be shown. */
    signInOpen: computed(() => asking.value !== undefined),
    requireSignIn,
    signIn,
    register,
    requestSignOut,
    requestSignOutEverywhere,
    dismissSignIn,
  };
}

/** Gives the server's settings, asked for once. */
export function useConfig() {
  if (config.value === undefined) void loadConfig();
  return { config, configFailed, loadConfig };
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
  if (user.value !== undefined) return Promise.resolve(true);
  dismissSignIn();
  return new Promise((resolve) => { asking.value = resolve; });
}

async function signIn(name: string, password?: string): Promise<void> {
  await session.signIn(name, password);
  settle();
}

async function register(name: string, password: string): Promise<void> {
  await session.register(name, password);
  settle();
}

function settle(): void {
  asking.value?.(true);
  asking.value = undefined;
}

/** Signs out as the visitor wants, unless a page has them think better of it. */
async function requestSignOut(): Promise<void> {
  if (await mayGo()) await session.signOut();
}

/** The same on every device; rejects where the server did not do it. */
async function requestSignOutEverywhere(): Promise<void> {
  if (await mayGo()) await session.signOutEverywhere();
}

async function mayGo(): Promise<boolean> {
  for (const guard of guards) {
    if (!await guard()) return false;
  }
  return true;
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

function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    // Forbidden: then the sign-in lasts as long as the page.
    return undefined;
  }
}
