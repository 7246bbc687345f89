/** What the pages weigh on the way to a visitor. */

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Plugin, Rolldown } from 'vite';

/** Writes each file of text once more, packed: over a bad network a page is there in half the time. */
export function pack(): Plugin {
  let directory = '';
  return {
    name: 'pack',
    apply: 'build',
    configResolved({ root, build }) { directory = resolve(root, build.outDir); },
    async closeBundle() {
      const names = await readdir(directory, { recursive: true });
      await Promise.all(names.filter((name) => /\.(?:css|html|js|svg)$/.test(name)).map(async (name) => {
        const path = join(directory, name);
        await writeFile(`${path}.gz`, gzipSync(await readFile(path), { level: 9 }));
      }));
    },
  };
}

/** Fails a build whose first scripts, packed, are more than so many kilobytes (of 1000 bytes). */
export function budget(mostKb: number): Plugin {
  return {
    name: 'budget',
    apply: 'build',
    generateBundle(_options, bundle) {
      const kb = firstBytes(Object.values(bundle).filter((file) => file.type === 'chunk')) / 1000;
      this.info(`${kb.toFixed(1)} kB of first scripts, packed; ${mostKb} kB at most`);
      if (kb > mostKb) this.error(`the first scripts are ${kb.toFixed(1)} kB, packed: more than ${mostKb} kB`);
    },
  };
}

/** Counts the bytes, packed, of the entries and of all that has to be there before they run. */
export function firstBytes(chunks: readonly Rolldown.OutputChunk[]): number {
  const byName = new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
  const first = new Set<string>();
  const add = (name: string) => {
    const chunk = byName.get(name);
    if (chunk === undefined || first.has(name)) return;
    first.add(name);
    for (const imported of chunk.imports) add(imported);
  };
  for (const chunk of chunks) if (chunk.isEntry) add(chunk.fileName);
  return [...first].reduce((sum, name) => sum + gzipSync(byName.get(name)!.code, { level: 9 }).length, 0);
}
