import { describe, expect, it, test } from 'vitest';
import { preferred, redundantFirst, withStartBitrate } from '../src/codecs.js';

const formats = ['video/VP8', 'video/rtx', 'video/H264', 'video/H264', 'video/ulpfec'].map((mimeType, index) => ({ mimeType, index }));

test('one codec is offered with all its profiles and its retransmissions', () => {
  expect(preferred(formats, 'h264').map(({ index }) => index)).toEqual([2, 3, 1]);
});

test('automatic leaves the order to the browser, and so does a codec it has not', () => {
  expect(preferred(formats, 'auto')).toEqual(formats);
  expect(preferred(formats, 'av1')).toEqual(formats);
});

test('redundant sound goes first, before the others in their order', () => {
  const sound = ['audio/opus', 'audio/red', 'audio/G722'].map((mimeType) => ({ mimeType }));
  expect(redundantFirst(sound)?.map(({ mimeType }) => mimeType)).toEqual(['audio/red', 'audio/opus', 'audio/G722']);
  expect(redundantFirst(sound.slice(0, 1))).toBeUndefined();
});

describe('withStartBitrate', () => {
  const answer = ['v=0', 'm=audio 9 X 111', 'a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10', 'm=video 9 X 96 97 102',
    'a=rtpmap:96 VP8/90000', 'a=rtpmap:97 rtx/90000', 'a=fmtp:97 apt=96', 'a=rtpmap:102 H264/90000', 'a=fmtp:102 packetization-mode=1', ''].join('\r\n');

  it('starts every video format there, and leaves sound and repair as they are', () => {
    const lines = withStartBitrate(answer, 1_200_000).split('\r\n');
    expect(lines).toContain('a=fmtp:96 x-google-start-bitrate=1200');
    expect(lines).toContain('a=fmtp:102 packetization-mode=1;x-google-start-bitrate=1200');
    expect(lines).toContain('a=fmtp:97 apt=96');
    expect(lines).toContain('a=fmtp:111 minptime=10');
    expect(lines).toHaveLength(answer.split('\r\n').length + 1);
  });

  it('leaves a description without video as it is', () => {
    const audio = answer.slice(0, answer.indexOf('m=video'));
    expect(withStartBitrate(audio, 1_200_000)).toBe(audio);
  });
});
