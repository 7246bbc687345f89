/** Which page is at which address. */

import { createRouter, createWebHistory } from 'vue-router';
import LobbyPage from './pages/LobbyPage.vue';
import MissingPage from './pages/MissingPage.vue';
import PlayerPage from './pages/PlayerPage.vue';

export const router = createRouter({
  history: createWebHistory(),
  routes: [
    { path: '/', name: 'lobby', component: LobbyPage },
    // Not loaded lazily: a viewer who follows a link waits for as few round trips as can be.
    { path: '/r/:roomId', name: 'player', component: PlayerPage, props: true },
    { path: '/studio/:roomId', name: 'studio', component: () => import('./pages/StudioPage.vue'), props: true },
    { path: '/analytics/:roomId', name: 'analytics', component: () => import('./pages/AnalyticsPage.vue'), props: true },
    { path: '/admin', name: 'admin', component: () => import('./pages/AdminPage.vue') },
    { path: '/:rest(.*)*', name: 'missing', component: MissingPage },
  ],
  scrollBehavior: (_to, _from, saved) => saved ?? { top: 0 },
});
