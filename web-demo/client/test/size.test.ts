import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { Rolldown } from 'vite';
import { expect, test } from 'vitest';
import { firstBytes } from '../../weight.js';

/** Kilobytes of 1000 bytes, packed. */
const MOST_KB = 25;

test.each(['index', 'player'])('all of %s.ts is small, packed', async (name) => {
  const entry = fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));
  const built = await build({
    configFile: false, logLevel: 'silent', build: { write: false, target: 'es2022', lib: { entry, formats: ['es'], fileName: name } },
  }) as Rolldown.RolldownOutput[];
  const kb = firstBytes(built.flatMap(({ output }) => output.filter((file) => file.type === 'chunk'))) / 1000;
  console.log(`${name}: ${kb.toFixed(1)} kB`);
  expect(kb).toBeGreaterThan(1);
  expect(kb).toBeLessThanOrEqual(MOST_KB);
}, 30_000);
