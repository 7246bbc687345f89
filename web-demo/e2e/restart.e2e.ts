/** ICE restarts of real browsers by WHIP's and WHEP's `PATCH`: other credentials, the same session, and media goes on. */

import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest';
import { launchChromium, launchFirefox, until } from './browsers.js';
import type { Browser, Tab } from './browsers.js';
import { received } from './probe.js';
import { startServer } from './server.js';
import type { Server } from './server.js';
import { frames } from './visitors.js';

declare global {
  interface Window {
    /** The session of the page: where it is, and with what it is asked. */
    kliegResource: { url: string; headers: Record<string, string> };
  }
}

let server: Server;
let chromium: Browser;
let firefox: Browser;
let host: Tab;
let players: Tab[];

beforeAll(async () => {
  server = await startServer();
  [chromium, firefox] = await Promise.all([launchChromium(), launchFirefox()]);
  host = await chromium.visit('an encoder');
  players = [await chromium.visit('a player in Chromium'), await firefox.visit('a player in Firefox')];
  for (const tab of [host, ...players]) await tab.open(server.url);
  await host.look(begin, 'whip');
  for (const player of players) await player.look(begin, 'whep');
  await Promise.all(players.map((player) => frames(player, 30)));
});

afterAll(async () => {
  await Promise.allSettled([chromium?.close(), firefox?.close()]);
  await server?.stop();
});

test('who publishes restarts ICE, and viewers see no other session', async () => {
  onTestFailed(() => console.log(server.log()));
  await restarts(host);
});

test('who watches restarts ICE, in Chromium and Firefox', async () => {
  onTestFailed(() => console.log(server.log()));
  for (const player of players) await restarts(player);
});

test('no page reported an error', () => {
  expect([host, ...players].flatMap(({ errors }) => errors)).toEqual([]);
});

/** Restarts a page's ICE; waits until its media goes by the new credentials, and everybody's frames go on. */
async function restarts(tab: Tab): Promise<void> {
  const sessions = await httpSessions();
  const ufrag = await tab.look(restart);
  await until(`${tab.name} goes by the new credentials`, () => tab.look(inUse), (used) => used.includes(ufrag));
  await Promise.all(players.map(async (player) => {
    const { frames: seen } = await player.look(received);
    const { connection, peers } = await frames(player, seen + 60);
    expect({ connection, peers }).toEqual({ connection: 'connected', peers: 1 });
  }));
  expect(await httpSessions()).toBe(sessions);
}

async function httpSessions(): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^klieg_http_sessions (\d+)/m.exec(metrics)?.[1]);
}

/** Publishes a drawing by WHIP, or watches by WHEP. */
async function begin(protocol: string): Promise<void> {
  const peer = new RTCPeerConnection();
  const headers: Record<string, string> = protocol === 'whip' ? { authorization: 'Bearer demo-key' } : {};
  if (protocol === 'whip') {
    const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 192 });
    const brush = canvas.getContext('2d')!;
    setInterval(() => {
      brush.fillStyle = `hsl(${performance.now() / 20 % 360} 60% 40%)`;
      brush.fillRect(Math.random() * 280, Math.random() * 150, 40, 40);
    }, 1000 / 30);
    peer.addTransceiver(canvas.captureStream(30).getVideoTracks()[0]!, { direction: 'sendonly' });
  } else {
    peer.addTransceiver('video', { direction: 'recvonly' });
  }
  await peer.setLocalDescription();
  const answer = await fetch(`/${protocol}/demo`, { method: 'POST', headers: { ...headers, 'content-type': 'application/sdp' }, body: peer.localDescription!.sdp });
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  window.kliegResource = { url: answer.headers.get('location')!, headers };
}

/** Restarts ICE as RFC 9725 has it (section 4.3.3); returns the page's new user name. */
async function restart(): Promise<string> {
  const peer = window.kliegPeers.at(-1)!;
  const { url, headers } = window.kliegResource;
  const before = peer.currentRemoteDescription!.sdp;
  peer.restartIce();
  await peer.setLocalDescription();
  const line = (sdp: string, name: string) => new RegExp(`^a=${name}:(.*)$`, 'm').exec(sdp)![1]!.trim();
  const own = peer.localDescription!.sdp;
  const media = own.split(/(?=^m=)/m).slice(1);
  const sections = media.map((section) => `${section.split('\r\n')[0]}\r\na=mid:${line(section, 'mid')}\r\na=ice-ufrag:${line(section, 'ice-ufrag')}\r\na=ice-pwd:${line(section, 'ice-pwd')}\r\n`);
  const answer = await fetch(url, {
    method: 'PATCH', headers: { ...headers, 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' }, body: sections.join(''),
  });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  const theirs = await answer.text();
  const renewed = before
    .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${line(theirs, 'ice-ufrag')}`)
    .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${line(theirs, 'ice-pwd')}`);
  if (line(before, 'ice-ufrag') === line(theirs, 'ice-ufrag')) throw new Error('the server kept its credentials');
  await peer.setRemoteDescription({ type: 'answer', sdp: renewed });
  return line(own, 'ice-ufrag');
}

/** The user names of pairs by which media goes just now. */
async function inUse(): Promise<string[]> {
  const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
  const pairs = [...report.values()].filter((entry) => entry['type'] === 'candidate-pair' && entry['nominated'] === true && entry['state'] === 'succeeded');
  const local = pairs.map((pair) => report.get(String(pair['localCandidateId'])));
  // Firefox does not say it of candidates, and has one in its description alone.
  const described = /^a=ice-ufrag:(.*)$/m.exec(window.kliegPeers.at(-1)!.currentLocalDescription!.sdp)![1]!.trim();
  return local.map((candidate) => String(candidate?.['usernameFragment'] ?? described));
}
