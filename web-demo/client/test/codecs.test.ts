import { expect, test } from 'vitest';
import { preferred } from '../src/codecs.js';

const formats = ['video/VP8', 'video/rtx', 'video/H264', 'video/H264', 'video/ulpfec'].map((mimeType, index) => ({ mimeType, index }));

test('one codec is offered with all its profiles and its retransmissions', () => {
  expect(preferred(formats, 'h264').map(({ index }) => index)).toEqual([2, 3, 1]);
});

test('automatic leaves the order to the browser, and so does a codec it has not', () => {
  expect(preferred(formats, 'auto')).toEqual(formats);
  expect(preferred(formats, 'av1')).toEqual(formats);
});
