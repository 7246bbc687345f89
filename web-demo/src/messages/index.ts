/** The catalogue in use: what the visitor chose, else the first language of the browser that there is one for. */

import * as client from '@klieg/client';
import type { KliegError, Layers, PublisherStatus, ViewerStatus, Words } from '@klieg/client';
import { en } from './en.js';

/** A catalogue; another language is one more file of the same shape, here and in the library. */
export type Messages = typeof en;

/** The languages that there are, each by its own name. */
export const LANGUAGES = { en: 'English', vi: 'Tiếng Việt' } as const;

export type Language = keyof typeof LANGUAGES;

const KEY = 'klieg.language';

const [spoken, catalogue, words] = await load(chosen() ?? preferred());

/** The language in use. */
export const language: Language = spoken;

/** The sentences of the pages; `words` are those of the library. */
export const messages: Messages = catalogue;

export const describeViewer = (status: ViewerStatus) => client.describeViewer(status, words);
export const describeRemedy = (status: ViewerStatus) => client.describeRemedy(status, words);
export const describeLayers = (layers: Layers, choice: string) => client.describeLayers(layers, choice, words);
export const describePublisher = (status: PublisherStatus) => client.describePublisher(status, words);
export const describeError = (error: KliegError) => client.describeError(error, words);
export const describeCodec = (codec: string) => client.describeCodec(codec, words);

/** Takes another language, from now on: the page begins again. */
export function speak(next: Language): void {
  try {
    localStorage.setItem(KEY, next);
  } catch {
    return; // Without a memory there would be no end of it.
  }
  location.reload();
}

/** Only what is spoken is loaded, and English where that does not come: a page in another language is more than none. */
async function load(wanted: Language): Promise<[Language, Messages, Words]> {
  if (wanted === 'vi') {
    try {
      const { vi, words: own } = await import('./vi.js');
      return [wanted, vi, own];
    } catch {
      // The browser has said why.
    }
  }
  return ['en', en, client.en];
}

function chosen(): Language | undefined {
  try {
    return known(localStorage.getItem(KEY) ?? '');
  } catch {
    return undefined; // Where storage is blocked, or in a test without a page.
  }
}

function preferred(): Language {
  for (const tag of globalThis.navigator?.languages ?? []) {
    const found = known(tag.split('-')[0]!.toLowerCase());
    if (found !== undefined) return found;
  }
  return 'en';
}

function known(name: string): Language | undefined {
  return Object.hasOwn(LANGUAGES, name) ? name as Language : undefined;
}
