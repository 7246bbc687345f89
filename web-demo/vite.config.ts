import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import tailwindcss from '@tailwindcss/vite';
import vue from '@vitejs/plugin-vue';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Writes each file of text once more, packed: over a bad network a page is there in half the time. */
function pack(): Plugin {
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

const server = process.env['KLIEG_SERVER'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [vue(), tailwindcss(), pack()],
  resolve: {
    // The pages use the library's sources, so that one build sees both.
    alias: { '@klieg/client': fileURLToPath(new URL('./client/src/index.ts', import.meta.url)) },
  },
  server: {
    proxy: {
      '/api': server,
      '/ws': { target: server, ws: true },
    },
  },
  build: {
    target: 'es2022',
    // A strict content security policy allows no `data:` addresses.
    assetsInlineLimit: 0,
  },
  test: {
    projects: [
      { extends: true, test: { name: 'client', include: ['client/test/*.test.ts'] } },
      { extends: true, test: { name: 'pages', include: ['src/**/*.test.ts'] } },
    ],
  },
});
