import { fileURLToPath } from 'node:url';
import tailwindcss from '@tailwindcss/vite';
import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vitest/config';
import { budget, pack } from './weight.js';

const server = process.env['KLIEG_SERVER'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // What is loaded before the lobby or a room is there.
  plugins: [vue(), tailwindcss(), budget(120), pack()],
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
