import { expect, test } from 'vitest';
import { localNow, ServerClock } from '../src/clock.js';

test('the quickest answer tells the time', () => {
  const clock = new ServerClock();
  expect(clock.now()).toBeUndefined();
  // The server is an hour ahead; the second answer waited for a second in the server, the third came quickly.
  const hour = 3_600_000;
  clock.sample(1000, 1100, 1060 + hour);
  clock.sample(2000, 3100, 3050 + hour);
  clock.sample(4000, 4040, 4020 + hour);
  expect(clock.roundTripMs).toBe(40);
  expect(clock.now()! - localNow()).toBeCloseTo(hour, 0);
});

test('an answer of long ago is forgotten: clocks drift', () => {
  const clock = new ServerClock();
  clock.sample(0, 10, 5);
  for (let answer = 0; answer < 16; answer++) clock.sample(0, 100, 150);
  expect(clock.roundTripMs).toBe(100);
  expect(clock.now()! - localNow()).toBeCloseTo(100, 0);
});
