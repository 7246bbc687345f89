/** A server and a visitor's browser in network namespaces of their own, and a bad link between them. Needs root. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const run = promisify(execFile);

const LINK = join(import.meta.dirname, '../../loadtest/netlab/link.py');
const SERVER = '10.77.0.1';
const VISITOR = '10.77.0.2';
/** For documentation (RFC 5737), and nobody's network. */
const SERVER_PUBLIC = '203.0.113.1';
const SERVER_V6 = 'fd77::1';
const VISITOR_V6 = 'fd77::2';
const HOME = '192.168.77.2';
const HOME_ROUTER = '192.168.77.1';
/** Ports behind which the visitor's router hides, one range after the other. */
const RANGES = ['40000-40999', '41000-41999'];

/** What packets meet in one direction; nothing where left out. */
export interface Conditions {
  /** Bits a second. */
  rate?: number;
  /** Milliseconds, one way. */
  delay?: number;
  /** Milliseconds at most, at random. */
  jitter?: number;
  /** Packets of a hundred. */
  loss?: number;
  /** Milliseconds of waiting beyond which packets are dropped. */
  queue?: number;
}

/** What became of the packets of one direction. */
export interface Counts {
  passed: number;
  lost: number;
  overflowed: number;
}

export interface Netlab {
  /** The server's address, seen from both sides. */
  host: string;
  /** The visitor's. */
  guest: string;
  /** Names of the namespaces. */
  server: string;
  visitor: string;
  /** Sets what packets to the visitor and from it meet from now on. */
  meet(down: Conditions, up?: Conditions): Promise<void>;
  /** Gives the visitor's router other ports, as a restart of it does. */
  rebind(): Promise<void>;
  /** Gives both ends an address of IPv6, too. */
  addIpv6(): Promise<{ server: string; visitor: string }>;
  /** Takes the addresses of one family from both ends, or from the visitor alone. */
  removeFamily(family: 4 | 6, from?: 'visitor'): Promise<void>;
  /** Puts a network of its own behind the server's end, which becomes a router that has one public address for one machine there. */
  addHome(): Promise<Home>;
  /** Gives the server an address of no private network, too: Chromium takes no candidate of port 443 with another. */
  addPublic(): Promise<string>;
  /** Lets the visitor's network drop all UDP, or pass it again. */
  blockUdp(isBlocked: boolean): Promise<void>;
  /** Lets the visitor's network pass nothing but TCP to these ports. */
  passOnlyTcp(ports: number[]): Promise<void>;
  /** Lets the visitor's network pass nothing but TCP to this port, and of that only connections that begin with a handshake of TLS. */
  passOnlyTls(port: number): Promise<void>;
  counts(): Promise<{ down: Counts; up: Counts }>;
  close(): Promise<void>;
}

/** A machine with a private address alone, behind a router that leads everything to it that comes to the public one. */
export interface Home {
  namespace: string;
  host: string;
}

export async function startNetlab(): Promise<Netlab> {
  if (process.getuid?.() !== 0) throw new Error('network namespaces and their link need root');
  const [server, visitor, near, far] = ['s', 'v', 'n', 'f'].map((letter) => `klieg-${letter}-${process.pid}`) as [string, string, string, string];
  const link = await startLink(near, far);
  const home = `klieg-h-${process.pid}`;
  const close = async () => {
    await link.close();
    await Promise.allSettled([server, visitor, home].map((name) => run('ip', ['netns', 'del', name])));
  };
  try {
    await connect(server, near, SERVER, VISITOR);
    await connect(visitor, far, VISITOR, SERVER);
    let ranges = 0;
    const rebind = async () => {
      const range = RANGES[ranges++ % RANGES.length]!;
      await within(visitor, 'nft', 'flush ruleset; add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; '
        + `add rule ip nat out oifname "${far}" udp dport != 53 masquerade to :${range}`);
      await within(visitor, 'conntrack', '--flush');
    };
    await rebind();
    return {
      host: SERVER,
      guest: VISITOR,
      server,
      visitor,
      async meet(down, up = {}) {
        await link.ask({ ...down, to: far });
        await link.ask({ ...up, to: near });
      },
      rebind,
      async addIpv6() {
        for (const [namespace, device, own] of [[server, near, SERVER_V6], [visitor, far, VISITOR_V6]] as const) {
          await run('ip', ['-n', namespace, 'addr', 'add', `${own}/64`, 'dev', device, 'nodad']);
          await run('ip', ['-n', namespace, '-6', 'route', 'add', 'default', 'dev', device]);
        }
        return { server: SERVER_V6, visitor: VISITOR_V6 };
      },
      async removeFamily(family, from) {
        const ends = [[visitor, far], [server, near]] as const;
        await Promise.all(ends.slice(0, from === 'visitor' ? 1 : 2).map(([namespace, device]) =>
          run('ip', ['-n', namespace, `-${family}`, 'addr', 'flush', 'dev', device, 'scope', 'global'])));
      },
      addHome: () => connectHome(home, server, near),
      async addPublic() {
        await run('ip', ['-n', server, 'addr', 'add', `${SERVER_PUBLIC}/32`, 'dev', near]);
        return SERVER_PUBLIC;
      },
      async blockUdp(isBlocked) {
        const rules = isBlocked ? ['meta l4proto udp drop', 'accept'] : ['accept'];
        await Promise.all([wall(server, rules), wall(visitor, rules)]);
      },
      passOnlyTcp(ports) {
        return wall(server, [`tcp dport { ${ports.join(', ')} } accept`]);
      },
      passOnlyTls(port) {
        // What is said first has a content type and a version, or it does not leave.
        return wall(server, [
          'ct mark 1 accept',
          `tcp dport ${port} @ih,0,16 0x1603 ct mark set 1 accept`,
          `tcp dport ${port} tcp flags & psh == psh counter drop`,
          `tcp dport ${port} accept`,
        ]);
      },
      async counts() {
        const counts = await link.ask({});
        return { down: counts[far]!, up: counts[near]! };
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Lets a network pass what these rules accept, and nothing else. */
async function wall(namespace: string, rules: string[]): Promise<void> {
  const all = ['iifname "lo" accept', ...rules, 'drop'].map((rule) => `add rule inet wall arrival ${rule}; `).join('');
  await within(namespace, 'nft', 'add table inet wall; delete table inet wall; add table inet wall; '
    + `add chain inet wall arrival { type filter hook prerouting priority 0; }; ${all}`);
}

function within(namespace: string, command: string, ...args: string[]): Promise<unknown> {
  return run('ip', ['netns', 'exec', namespace, command, ...args]);
}

/** Makes a namespace at one end of the link. */
async function connect(namespace: string, device: string, own: string, other: string): Promise<void> {
  await run('ip', ['netns', 'add', namespace]);
  await run('ip', ['link', 'set', device, 'netns', namespace]);
  const inside = (...args: string[]) => run('ip', ['-n', namespace, ...args]);
  await inside('link', 'set', 'lo', 'up');
  await inside('addr', 'add', own, 'peer', other, 'dev', device);
  await inside('link', 'set', device, 'up');
  await inside('route', 'add', 'default', 'dev', device);
}

/** One public address for one machine (NAT 1:1), as clouds have it; nothing gets in that was not sent to that. */
async function connectHome(home: string, router: string, outside: string): Promise<Home> {
  const inside = `i-${process.pid}`;
  await run('ip', ['netns', 'add', home]);
  await run('ip', ['-n', router, 'link', 'add', inside, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', home]);
  for (const [namespace, device, address] of [[router, inside, HOME_ROUTER], [home, 'eth0', HOME], [home, 'lo', '127.0.0.1']] as const) {
    if (device !== 'lo') await run('ip', ['-n', namespace, 'addr', 'add', `${address}/24`, 'dev', device]);
    await run('ip', ['-n', namespace, 'link', 'set', device, 'up']);
  }
  await run('ip', ['-n', home, 'route', 'add', 'default', 'via', HOME_ROUTER]);
  await within(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
  await within(router, 'nft', `add table ip home; add chain ip home in { type nat hook prerouting priority -100; }; add chain ip home out { type nat hook postrouting priority 100; }; `
    + `add chain ip home through { type filter hook forward priority 0; policy drop; }; add rule ip home in iifname "${outside}" ip daddr ${SERVER} dnat to ${HOME}; `
    + `add rule ip home out oifname "${outside}" ip saddr ${HOME} snat to ${SERVER}; add rule ip home through ct status dnat accept; `
    + `add rule ip home through ct state established,related accept; add rule ip home through iifname "${inside}" accept`);
  return { namespace: home, host: HOME };
}

async function startLink(...devices: string[]) {
  const child = spawn('python3', [LINK, ...devices], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the link ended');
    return String(value);
  };
  await answer();
  return {
    async ask(order: Conditions & { to?: string }): Promise<Record<string, Counts>> {
      child.stdin.write(`${JSON.stringify(order)}\n`);
      return JSON.parse(await answer()) as Record<string, Counts>;
    },
    async close() {
      child.stdin.end();
      await exited;
    },
  };
}
