import { expect, test } from 'vitest';
import { blurOf, setBlur } from './blur.js';

function camera(states: boolean[] | undefined, settings: object = {}) {
  const applied: object[] = [];
  const track = {
    getCapabilities: () => states === undefined ? {} : { backgroundBlur: states },
    getSettings: () => settings,
    getConstraints: () => ({ width: { ideal: 1280 } }),
    applyConstraints: async (constraints: object) => { applied.push(constraints); },
  } as unknown as MediaStreamTrack;
  return { track, applied };
}

test('only a camera whose blur a page can change has one', () => {
  expect(blurOf(camera(undefined).track)).toBeUndefined();
  expect(blurOf({} as MediaStreamTrack), 'Firefox').toBeUndefined();
  expect(blurOf(camera([true], { backgroundBlur: true }).track), 'the system decides').toBeUndefined();
  expect(blurOf(camera([false, true], { backgroundBlur: true }).track)).toBe(true);
  expect(blurOf(camera([false, true]).track)).toBe(false);
});

test('a camera that begins to blur keeps its size', async () => {
  const { track, applied } = camera([false, true]);
  await setBlur(track, true);
  expect(applied).toEqual([{ width: { ideal: 1280 }, backgroundBlur: true }]);
});
