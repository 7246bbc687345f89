/** Which video codings this browser can send, and how to ask for one of them (JSEP, section 4.2.6). */

/** A coding that the server forwards. */
export type VideoCodec = 'vp8' | 'h264' | 'vp9' | 'av1';

/** All codings, the one that most browsers play first. */
export const VIDEO_CODECS: readonly VideoCodec[] = ['vp8', 'h264', 'vp9', 'av1'];

/** What `RTCRtpSender.getCapabilities` tells of one format. */
interface Format {
  mimeType: string;
}

/** Returns the codings this browser can send. */
export function sendableCodecs(): VideoCodec[] {
  const formats = globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs ?? [];
  return VIDEO_CODECS.filter((codec) => formats.some((format) => is(format, codec)));
}

/** Returns `formats` with only `codec` and what repairs it, in the browser's order; all of them for `auto`. */
export function preferred<F extends Format>(formats: readonly F[], codec: VideoCodec | 'auto'): F[] {
  if (codec === 'auto') return [...formats];
  const chosen = formats.filter((format) => is(format, codec));
  const repair = formats.filter(({ mimeType }) => mimeType.toLowerCase() === 'video/rtx');
  return chosen.length === 0 ? [...formats] : [...chosen, ...repair];
}

function is({ mimeType }: Format, codec: VideoCodec): boolean {
  return mimeType.toLowerCase() === `video/${codec}`;
}
