/** Builds `<klieg-player>` as one file without dependencies, beside the pages: what other sites embed. */

import { defineConfig } from 'vite';
import { budget, pack } from './weight.js';

export default defineConfig({
  publicDir: false,
  plugins: [budget(25), pack()],
  build: {
    target: 'es2022',
    emptyOutDir: false,
    lib: { entry: 'client/src/player.ts', formats: ['es'], fileName: () => 'player.js' },
  },
});
