/** Starts the pages. */

import { createApp } from 'vue';
import App from './App.vue';
import { language } from './messages/index.js';
import { router } from './router.js';
import './style.css';

document.documentElement.lang = language;
createApp(App).use(router).mount('#app');

// Where there is none, in the clear or in a private window, only the page for being offline is missing.
if ('serviceWorker' in navigator) window.addEventListener('load', () => void navigator.serviceWorker.register('/sw.js').catch(() => {}));
