/** A show in the network lab: the server and its host in one namespace, a browser for visitors in the other. Needs root. */

import { launchChromium, until } from './browsers.js';
import type { Browser, ChromiumTab, Tab } from './browsers.js';
import type { Certificate } from './certificate.js';
import type { Netlab } from './netlab.js';
import { framesSent, makeRoom, publishLayers } from './probe.js';
import { startServerAt } from './server.js';
import type { Server } from './server.js';

/** Bits a second of three layers: the best fits into 3 Mb/s with its sound, the two others into 0.6. */
export const RATES: [number, number, number] = [100_000, 300_000, 1_200_000];

export interface Show {
  server: Server;
  /** Runs beside the server, and has the host's page. */
  near: Browser<ChromiumTab>;
  /** Runs in the visitor's namespace. */
  far: Browser<ChromiumTab>;
  host: Tab;
  room: string;
  close(): Promise<void>;
}

/** What a show has other than most. */
export interface Staging {
  /** Of the server, beside those that every show has. */
  settings?: Record<string, string>;
  /** Where the server is, if not at the namespace's own address and any port. */
  place?: { host: string; port: number };
  /** What browsers believe. */
  certificate?: Certificate;
  rates?: [number, number, number];
  /** How much moves in the picture: one square of it, or four. */
  squares?: number;
}

/** Starts all of it; returns once the host sends. */
export async function startShow(netlab: Netlab, { settings, place, certificate, rates = RATES, squares = 4 }: Staging = {}): Promise<Show> {
  const ends: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of ends.reverse()) await end().catch(() => {}); // What ended by itself.
  };
  const launch = async (namespace: string, origin: string) => {
    const browser = await launchChromium({ namespace, origin }, certificate?.hash);
    ends.push(() => browser.close());
    return browser;
  };
  try {
    const server = await startServerAt({ namespace: netlab.server, host: netlab.host, ...place }, { KLIEG_NEW_ACCOUNT_ROLE: 'host', ...settings });
    ends.push(() => server.stop());
    const [near, far] = await Promise.all([launch(netlab.server, server.url), launch(netlab.visitor, server.url)]);
    const host = await near.visit('the host');
    await host.open(server.url);
    const made = await host.look(makeRoom);
    await host.look(publishLayers, JSON.stringify({ ...made, rates, squares }));
    await until('the host sends', () => host.look(framesSent), (sent) => (sent['f'] ?? 0) > 30);
    return { server, near, far, host, room: made.room, close };
  } catch (error) {
    await close();
    throw error;
  }
}
