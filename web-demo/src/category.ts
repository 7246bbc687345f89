/** What rooms are listed under: to the server a word of small letters, digits and hyphens, to people a name. */

const LONGEST = 40;

/** Returns what the server takes for a name as people write it; empty where nothing of it is left. */
export function slugOf(name: string): string {
  // Letters lose their accents; in Vietnamese that with a bar is a letter of its own.
  const plain = name.toLowerCase().replaceAll('đ', 'd').normalize('NFD').replaceAll(/\p{M}/gu, '');
  return plain.replaceAll(/[^a-z0-9]+/g, '-').replace(/^-/, '').slice(0, LONGEST).replace(/-$/, '');
}

/** Returns a name for people. */
export function nameOf(slug: string): string {
  const words = slug.replaceAll('-', ' ').trim();
  return words === '' ? slug : words[0]!.toUpperCase() + words.slice(1);
}
