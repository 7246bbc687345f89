import { expect, test } from 'vitest';
import { Complaints, WayBack, WayFinder, diagnose } from '../src/trouble.js';
import type { Detour, Way } from '../src/trouble.js';

const silent: Way = { asked: new Set(['udp']), answered: false, relayRefused: false, connection: 'connecting', dtls: 'new' };

test.each<[string, Partial<Way>, string | undefined]>([
  ['only UDP is asked for, and not answered', {}, 'no_udp'],
  ['neither UDP nor TCP is answered', { asked: new Set(['udp', 'tcp']) }, 'blocked'],
  ['not even a relay gets an answer', { asked: new Set(['udp', 'relay']), connection: 'failed' }, 'blocked'],
  ['the relay refuses and nothing else answers', { asked: new Set(['udp', 'tcp']), relayRefused: true }, 'turn_refused'],
  ['the relay refuses, yet something answers', { relayRefused: true, answered: true }, 'ice_failed'],
  ['answers come and the connection fails', { answered: true, connection: 'failed', dtls: 'connected' }, 'ice_failed'],
  ['encryption fails', { answered: true, connection: 'failed', dtls: 'failed' }, 'dtls_failed'],
  ['nothing answers, and the browser calls encryption failed as well', { asked: new Set(['udp', 'tcp']), connection: 'failed', dtls: 'failed' }, 'blocked'],
  ['the connection holds', { answered: true, connection: 'connected', dtls: 'connected' }, undefined],
  ['nothing was asked for yet', { asked: new Set() }, undefined],
])('when %s a viewer knows why', (_, way, trouble) => {
  expect(diagnose({ ...silent, ...way })).toBe(trouble);
});

/** A peer connection that says no more than its state. */
class StillPeer extends EventTarget {
  connectionState = 'connecting';
  getReceivers(): { transport: null }[] { return [{ transport: null }]; }
  fail(url: string, errorCode: number): void {
    this.dispatchEvent(Object.assign(new Event('icecandidateerror'), { url, errorCode }));
  }
}

function wayOf(peer: StillPeer): WayFinder {
  return new WayFinder(peer as unknown as RTCPeerConnection);
}

function pairs(...found: [protocol: string, type: string, responsesReceived: number][]): Map<string, Record<string, unknown>> {
  return new Map(found.flatMap(([protocol, candidateType, responsesReceived], index) => [
    [`l${index}`, { type: 'local-candidate', protocol, candidateType }],
    [`p${index}`, { type: 'candidate-pair', state: 'in-progress', localCandidateId: `l${index}`, responsesReceived }],
  ] as [string, Record<string, unknown>][]));
}

test('pairs that the browser has forgotten count', () => {
  const way = wayOf(new StillPeer());
  way.read(pairs(['udp', 'host', 0], ['tcp', 'host', 0]));
  way.read(pairs(['udp', 'host', 0]));
  expect(way.diagnose()).toBe('blocked');
  way.read(pairs(['udp', 'host', 1]));
  expect(way.diagnose()).toBe('ice_failed');
});

test('a relay that does not answer has not refused, and neither has a STUN server', () => {
  const peer = new StillPeer();
  const way = wayOf(peer);
  way.read(pairs(['udp', 'host', 0]));
  peer.fail('turn:relay.test:3478', 701);
  peer.fail('stun:relay.test:3478', 400);
  expect(way.diagnose()).toBe('no_udp');
  peer.fail('turns:relay.test:5349', 401);
  expect(way.diagnose()).toBe('turn_refused');
});

test('each reason is told once until the picture was there, one in five seconds, and again where it did not arrive', () => {
  const complaints = new Complaints();
  complaints.add('unreachable');
  complaints.add('blocked');
  complaints.add('blocked');
  expect([complaints.next(0), complaints.next(5_000), complaints.next(6_000)]).toEqual(['unreachable', undefined, 'blocked']);
  complaints.add('blocked');
  expect(complaints.next(20_000)).toBeUndefined();
  complaints.putBack('blocked');
  expect(complaints.next(20_000)).toBe('blocked');
  complaints.forget();
  complaints.add('blocked');
  expect(complaints.next(30_000)).toBe('blocked');
});

/** Two pairs, of which one is in use, and the checks that were sent on the other. */
function using(taken: [protocol: string, type: string], requestsSent?: number): Map<string, Record<string, unknown>> {
  return new Map<string, Record<string, unknown>>([
    ['t', { type: 'transport', selectedCandidatePairId: 'p0' }],
    ['l0', { type: 'local-candidate', protocol: taken[0], candidateType: taken[1] }],
    ['p0', { type: 'candidate-pair', state: 'succeeded', localCandidateId: 'l0', requestsSent: 1000 }],
    ['l1', { type: 'local-candidate', protocol: 'udp', candidateType: 'host' }],
    ['p1', { type: 'candidate-pair', state: 'failed', localCandidateId: 'l1', ...requestsSent !== undefined && { requestsSent } }],
  ]);
}

test('packets by TCP or through a relay go a way round, and a browser that goes on with checks by UDP is known', () => {
  const way = wayOf(new StillPeer());
  way.read(using(['tcp', 'host'], 7));
  way.read(using(['tcp', 'host'], 7));
  expect(way.detour).toEqual({ triesDirect: false });
  way.read(using(['udp', 'relay'], 8));
  expect(way.detour).toEqual({ triesDirect: true });
  way.read(using(['tcp', 'host']));
  expect(way.detour).toEqual({ triesDirect: false });
  way.read(using(['udp', 'prflx'], 9));
  expect(way.detour).toBeUndefined();
  way.read(pairs(['udp', 'host', 0]));
  expect(way.detour).toBeUndefined();
});

/** Samples every second; returns the seconds in which a way is looked for. */
function looks(back: WayBack, detour: (second: number) => Detour | undefined, seconds: number): number[] {
  return Array.from({ length: seconds }, (_, second) => second).filter((second) => back.sample(second * 1000, detour(second)));
}

test('a straight way is looked for after ten seconds, then ever less often', () => {
  const round = { triesDirect: false };
  expect(looks(new WayBack(), () => round, 3000)).toEqual([10, 40, 130, 400, 1000, 1600, 2200, 2800]);
  expect(looks(new WayBack(), () => ({ triesDirect: true }), 3000)).toEqual([]);
  expect(looks(new WayBack(), () => undefined, 3000)).toEqual([]);
});

test('the moment of a restart without a pair changes nothing, a straight way that held does', () => {
  const round = { triesDirect: false };
  expect(looks(new WayBack(), (second) => second === 12 ? undefined : round, 50)).toEqual([10, 40]);
  expect(looks(new WayBack(), (second) => second > 12 && second < 30 ? undefined : round, 100)).toEqual([10, 40, 70]);
});
