import { expect, test } from 'vitest';
import { CORNERS, fit, inset } from './composition.js';

const frame = { width: 1280, height: 720 };

test('a screen of another shape is shown whole, in the middle', () => {
  expect(fit({ width: 1920, height: 1080 }, frame)).toEqual({ left: 0, top: 0, width: 1280, height: 720 });
  expect(fit({ width: 1600, height: 1200 }, frame)).toEqual({ left: 160, top: 0, width: 960, height: 720 });
  expect(fit({ width: 3440, height: 1440 }, frame)).toEqual({ left: 0, top: 92, width: 1280, height: 536 });
});

test('a camera of any shape stays inside of its corner', () => {
  for (const camera of [{ width: 1280, height: 720 }, { width: 640, height: 480 }, { width: 720, height: 1280 }]) {
    const places = CORNERS.map((corner) => inset(camera, frame, corner));
    for (const { left, top, width, height } of places) {
      expect(width).toBeLessThanOrEqual(frame.width * 0.27);
      expect(height).toBeLessThanOrEqual(frame.height * 0.37);
      expect(width / height).toBeCloseTo(camera.width / camera.height, 1);
      expect(Math.min(left, frame.width - left - width)).toBe(26);
      expect(Math.min(top, frame.height - top - height)).toBe(26);
    }
    expect(new Set(places.map(({ left, top }) => `${left} ${top}`)).size, 'four corners').toBe(4);
  }
});
