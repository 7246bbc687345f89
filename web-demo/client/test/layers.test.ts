import { expect, test } from 'vitest';
import { encodings, pickLayering } from '../src/layers.js';

const hd = { width: 1280, height: 720 };

test('scalable coding is taken where the browser says that it has it, else a simulcast of what is large enough', () => {
  const formats = [{ mimeType: 'video/VP9', scalabilityModes: ['L1T3', 'L3T3_KEY'] }, { mimeType: 'video/VP8', scalabilityModes: ['L1T3'] }];
  expect(pickLayering('vp9', hd, formats)).toBe('L3T3_KEY');
  expect(pickLayering('vp8', hd, formats)).toBe('simulcast');
  expect(pickLayering('vp8', { width: 640, height: 360 }, formats)).toBe('L1T3');
  expect(pickLayering('vp9', { width: 640, height: 360 }, [{ mimeType: 'video/VP9' }])).toBe('off');
});

test('the sizes of a simulcast share the rate, the smallest first', () => {
  const sizes = encodings('simulcast', 1_000_000, true);
  expect(sizes.map(({ rid, maxBitrate, scalabilityMode }) => [rid, maxBitrate, scalabilityMode])).toEqual([
    ['q', 100_000, 'L1T3'], ['h', 350_000, 'L1T3'], ['f', 1_000_000, 'L1T3'],
  ]);
  expect(encodings('L2T2', undefined, false)).toEqual([{ scalabilityMode: 'L2T2' }]);
  expect(encodings('off', 5, false)).toEqual([{ maxBitrate: 5 }]);
});
