import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Api, KliegError, Session } from '../src/index.js';
import type { SessionStorage } from '../src/index.js';

const HOUR_MS = 3_600_000;
const START = Date.parse('2026-11-21T12:00:00Z');

/** What the server was asked, as `POST auth/refresh first`. */
let asked: string[];
/** Answers the next requests, in turn; beyond them the server is away. */
let answers: (() => Response | Promise<Response>)[];

beforeEach(() => {
  vi.useFakeTimers({ now: START });
  asked = [];
  answers = [];
  vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
    const body = JSON.parse(String(init.body ?? '{}')) as { refreshToken?: string };
    const bearer = (init.headers as Record<string, string>)['authorization'] ?? '';
    asked.push(`${init.method} ${url.pathname.replace('/api/v1/', '')} ${body.refreshToken ?? bearer}`.trim());
    const answer = answers.shift();
    if (answer === undefined) throw new TypeError('the network is away');
    return answer();
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Tokens that hold for an hour; the name says which. */
function tokens(name: string, user = 'ann') {
  return {
    accessToken: `${name}-access`,
    expiresAt: new Date(Date.now() + HOUR_MS).toISOString(),
    refreshToken: name,
    refreshExpiresAt: new Date(Date.now() + 30 * 24 * HOUR_MS).toISOString(),
    user: { id: user, name: user, role: 'host' },
  };
}

const signsIn = (name: string, user?: string) => () => Response.json(tokens(name, user));
const refuses = (status: number, code: string) => () => Response.json({ code, detail: code }, { status });

function storage(): SessionStorage & { values: Map<string, string> } {
  const values = new Map<string, string>();
  return {
    values,
    getItem: (key) => values.get(key) ?? null,
    setItem: (key, value) => void values.set(key, value),
    removeItem: (key) => void values.delete(key),
  };
}

async function signedIn(kept = storage()) {
  answers.push(signsIn('first'));
  const session = new Session('https://live.example', kept);
  await session.signIn('Ann', 'correct horse');
  asked = [];
  return { session, kept };
}

test('a sign-in is kept for the next visit, and forgotten with the sign-out', async () => {
  const { session, kept } = await signedIn();
  const next = new Session('https://live.example', kept);
  expect(next.account?.name).toBe('ann');
  expect(await next.token()).toBe('first-access');
  answers.push(() => new Response(null, { status: 204 }));
  await session.signOut();
  expect(asked).toEqual(['POST auth/logout Bearer first-access']);
  expect(new Session('https://live.example', kept).account).toBeUndefined();
});

test('a token that is about to end is changed for a new one, once for all who ask', async () => {
  const { session } = await signedIn();
  vi.setSystemTime(START + HOUR_MS - 30_000);
  answers.push(signsIn('second'));
  expect(await Promise.all([session.token(), session.token()])).toEqual(['second-access', 'second-access']);
  expect(asked).toEqual(['POST auth/refresh first']);
  expect(await session.token()).toBe('second-access');
});

test('a call whose token was refused is made once more with the next', async () => {
  const { session } = await signedIn();
  const api = new Api('https://live.example', (refused) => session.token(refused));
  answers.push(refuses(401, 'token_expired'), signsIn('second'), () => Response.json({ items: [] }));
  expect(await api.rooms()).toEqual({ items: [] });
  expect(asked).toEqual(['GET rooms Bearer first-access', 'POST auth/refresh first', 'GET rooms Bearer second-access']);
});

test('a sign-in that the server ended is over, is told so, and calls go on as a guest', async () => {
  const { session, kept } = await signedIn();
  const told: string[] = [];
  session.on('ended', () => told.push('ended'));
  session.on('changed', ({ account }) => told.push(account === undefined ? 'nobody' : account.name));
  const api = new Api('https://live.example', (refused) => session.token(refused));
  answers.push(refuses(401, 'token_expired'), refuses(401, 'token_expired'), () => Response.json({ items: [] }));
  expect(await api.rooms()).toEqual({ items: [] });
  expect(asked.at(-1)).toBe('GET rooms');
  expect(told).toEqual(['nobody', 'ended']);
  expect(kept.values.size).toBe(0);
});

test('while the server is away nobody is signed out, and a token that still holds is used', async () => {
  const { session } = await signedIn();
  vi.setSystemTime(START + HOUR_MS - 30_000);
  expect(await session.token()).toBe('first-access');
  vi.setSystemTime(START + HOUR_MS + 1);
  await expect(session.token()).rejects.toEqual(new KliegError('offline'));
  answers.push(refuses(503, 'unavailable'));
  await expect(session.token('first-access')).rejects.toThrow(KliegError);
  expect(session.account?.name).toBe('ann');
});

test('a tab takes what another renewed instead of showing the old refresh token', async () => {
  const kept = storage();
  const { session } = await signedIn(kept);
  const other = new Session('https://live.example', kept);
  answers.push(signsIn('second'));
  expect(await other.token('first-access')).toBe('second-access');
  expect(await session.token('first-access')).toBe('second-access');
  expect(asked).toEqual(['POST auth/refresh first']);
});

test('a password that was changed while another tab renewed signs nobody out', async () => {
  const { session, kept } = await signedIn();
  const ended = vi.fn();
  session.on('ended', ended);
  let refuse = (_: Response): void => {};
  const answer = new Promise<Response>((resolve) => { refuse = resolve; });
  answers.push(() => answer, signsIn('changed'));
  const renewed = session.token('first-access');
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  await new Session('https://live.example', kept).changePassword('correct horse', 'battery staple');
  refuse(refuses(401, 'token_invalid')());
  expect(await renewed).toBe('changed-access');
  expect(ended).not.toHaveBeenCalled();
});

test('signing out everywhere is done by the server or not at all', async () => {
  const { session } = await signedIn();
  await expect(session.signOutEverywhere()).rejects.toEqual(new KliegError('offline'));
  expect(session.account?.name).toBe('ann');
  answers.push(() => new Response(null, { status: 204 }));
  await session.signOutEverywhere();
  expect(session.account).toBeUndefined();
});

test('what was kept by something else, or has ended, is nobody', () => {
  for (const value of ['', '{', '[]', '{"accessToken":"a"}', JSON.stringify({ ...tokens('old'), refreshExpiresAt: '2020-01-01T00:00:00Z' })]) {
    const kept = storage();
    kept.setItem('klieg.sign-in', value);
    expect(new Session('https://live.example', kept).account).toBeUndefined();
  }
});
