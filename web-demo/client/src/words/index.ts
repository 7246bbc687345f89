/** States and errors in words; another language is one more catalogue of the same shape. */

import type { KliegError } from '../error.js';
import type { Layers, Trouble } from '../protocol.js';
import type { PublisherStatus } from '../publisher.js';
import type { ViewerStatus } from '../viewer.js';
import { en } from './en.js';
import { vi } from './vi.js';

export { en, vi };

/** A catalogue. */
export type Words = typeof en;

/** Says what a viewer sees. */
export function describeViewer(status: ViewerStatus, words: Words = en): string {
  const trouble = troubleOf(status);
  if (trouble !== undefined) return words.trouble[trouble].what;
  switch (status.kind) {
    case 'unplayable': return words.viewer.unplayable.replace('{codec}', describeCodec(status.codec, words));
    case 'closed': return status.code === undefined ? words.viewer.closed : describeCode(status.code, words);
    default: return words.viewer[status.kind];
  }
}

/** Says what a viewer can do about it; empty where there is nothing, or nobody knows. */
export function describeRemedy(status: ViewerStatus, words: Words = en): string {
  const trouble = troubleOf(status);
  return trouble === undefined ? '' : words.trouble[trouble].remedy;
}

/** Says why a viewer sees the layer that it sees, when `choice` was asked for; empty where there is nothing to say. */
export function describeLayers({ selected, reason, codec = '' }: Layers, choice: string, words: Words = en): string {
  switch (reason) {
    case 'codec_mismatch': return describeViewer({ kind: 'unplayable', codec }, words);
    case 'bandwidth': return words.quality[selected === null ? 'paused' : choice === 'auto' ? 'lower' : 'unchosen'];
    // Nothing is shown yet.
    case 'auto': return selected === null ? '' : words.quality.auto;
    case 'manual': return selected === choice ? words.quality.manual : '';
    case 'unavailable': return words.quality.unavailable;
  }
}

/** Says where publishing is. */
export function describePublisher(status: PublisherStatus, words: Words = en): string {
  return status.kind === 'refused' ? describeCode(status.code, words) : words.publisher[status.kind];
}

/** Says what went wrong, and where possible what to do. */
export function describeError(error: KliegError, words: Words = en): string {
  return describeCode(error.code, words);
}

/** Returns the name people know a codec by. */
export function describeCodec(codec: string, words: Words = en): string {
  const name = codec.toLowerCase();
  return Object.hasOwn(words.codec, name) ? words.codec[name as keyof Words['codec']] : codec || words.codec.unknown;
}

function troubleOf(status: ViewerStatus): Trouble | undefined {
  return 'trouble' in status ? status.trouble : undefined;
}

function describeCode(code: string, words: Words): string {
  return Object.hasOwn(words.error, code)
    ? words.error[code as keyof Words['error']]
    : words.error.unknown.replace('{code}', code);
}
