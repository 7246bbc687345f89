/** Which codings this browser can send, and how to ask for one of them (JSEP, section 4.2.6). */

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

/** Returns `formats` with redundant sound (RFC 2198) first, which is how browsers are asked to send it; `undefined` where there is none. */
export function redundantFirst<F extends Format>(formats: readonly F[]): F[] | undefined {
  const isRedundant = ({ mimeType }: F): boolean => mimeType.toLowerCase() === 'audio/red';
  const redundant = formats.filter(isRedundant);
  if (redundant.length === 0) return undefined;
  return [...redundant, ...formats.filter((format) => !isRedundant(format))];
}

/**
 * Returns an answer that has Chromium start its video at `bitrateBps`.
 *
 * Chromium starts at 300 kb/s and fits the picture's size to that, and takes long to make it larger again; other browsers pass the
 * parameter over. Its estimate of the path still lowers the rate within the first second where that is too much.
 */
export function withStartBitrate(sdp: string, bitrateBps: number): string {
  const start = `x-google-start-bitrate=${Math.round(bitrateBps / 1000)}`;
  const [session = '', ...sections] = sdp.split(/(?=^m=)/m);
  return [session, ...sections.map((section) => section.startsWith('m=video') ? starting(section, start) : section)].join('');
}

function starting(section: string, start: string): string {
  return section.replace(/^a=rtpmap:(\d+) (?:VP8|VP9|H264|AV1)\/90000(\r?\n)/gmi, (line, type: string, end: string) =>
    section.includes(`a=fmtp:${type} `) ? line : `${line}a=fmtp:${type} ${start}${end}`)
    .replace(/^(a=fmtp:\d+ (?!apt=|x-google).*?)(\r?)$/gm, `$1;${start}$2`);
}

function is({ mimeType }: Format, codec: VideoCodec): boolean {
  return mimeType.toLowerCase() === `video/${codec}`;
}
