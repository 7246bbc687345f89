import { mergeConfig } from 'vitest/config';
import e2e from './vitest.config.js';

// Network namespaces need root: they are run by themselves.
export default mergeConfig({ ...e2e, test: { ...e2e.test, include: [] } }, { test: { name: 'netlab', include: ['*.netlab.ts'] } });
