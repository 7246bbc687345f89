/** How a picture is split into layers, so that each viewer gets what its network carries. */

/** How a picture is split: `off`, a simulcast of up to three sizes, or a mode of scalable coding (W3C WebRTC-SVC). */
export type Split = 'off' | 'simulcast' | `L${1 | 2 | 3}T${1 | 2 | 3}` | `L${2 | 3}T${1 | 2 | 3}_KEY`;

/** The same, or what the browser can do. */
export type Layering = 'auto' | Split;

/** What goes into `sendEncodings`, with what TypeScript's DOM does not know yet. */
export interface Encoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/** What one coding can be split into, as `getCapabilities` tells; most browsers say nothing. */
interface Format {
  mimeType: string;
  scalabilityModes?: string[];
}

/** Below this size a browser sends fewer than three sizes. */
const LEAST_FOR_SIMULCAST = 960 * 540;

/** Picks what a browser can do: scalable coding where the codec has spatial layers, else simulcast, with fewer pictures as the last resort. */
export function pickLayering(codec: string, size: { width?: number; height?: number }, formats: readonly Format[]): Split {
  const known = formats.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
  const can = (mode: string) => known.some(({ scalabilityModes }) => scalabilityModes?.includes(mode));
  if ((codec === 'vp9' || codec === 'av1') && can('L3T3_KEY')) return 'L3T3_KEY';
  if ((size.width ?? 0) * (size.height ?? 0) >= LEAST_FOR_SIMULCAST) return 'simulcast';
  return can('L1T3') ? 'L1T3' : 'off';
}

/** Returns the encodings of a layering, of which the best takes `maxBitrateBps`. */
export function encodings(layering: Split, maxBitrateBps: number | undefined, temporal: boolean): Encoding[] {
  const share = (part: number) => maxBitrateBps === undefined ? {} : { maxBitrate: Math.round(maxBitrateBps * part) };
  if (layering === 'off') return [share(1)];
  if (layering !== 'simulcast') return [{ ...share(1), scalabilityMode: layering }];
  const mode = temporal ? { scalabilityMode: 'L1T3' } : {};
  // The smallest first: a browser with little to spend begins with those.
  return [
    { rid: 'q', scaleResolutionDownBy: 4, ...share(0.1), ...mode },
    { rid: 'h', scaleResolutionDownBy: 2, ...share(0.35), ...mode },
    { rid: 'f', scaleResolutionDownBy: 1, ...share(1), ...mode },
  ];
}
