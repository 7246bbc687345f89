import { expect, test } from 'vitest';
import { within } from './picture.js';

test('a picture is made smaller in its shape, and never larger', () => {
  expect(within({ width: 4000, height: 3000 }, 1280)).toEqual({ width: 1280, height: 960 });
  expect(within({ width: 720, height: 1280 }, 480)).toEqual({ width: 270, height: 480 });
  expect(within({ width: 320, height: 180 }, 480)).toEqual({ width: 320, height: 180 });
  expect(within({ width: 5000, height: 1 }, 480)).toEqual({ width: 480, height: 1 });
});
