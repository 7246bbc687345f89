import { expect, test } from 'vitest';
import source from '../public/sw.js?raw';

type Handler = (event: object) => void;

/** Runs the worker of the pages over a network that answers as it is told. */
function start(network: (request: { url: string }) => Promise<Response>) {
  const handlers = new Map<string, Handler>();
  const kept = new Map<string, Response>([['/offline.html', new Response('offline')]]);
  const path = (request: string | { url: string }) => typeof request === 'string' ? request : new URL(request.url).pathname;
  const caches = {
    match: async (request: string | { url: string }) => kept.get(path(request)),
    open: async () => ({ put: async (name: string, response: Response) => { kept.set(name, response); } }),
  };
  const worker = { addEventListener: (name: string, handler: Handler) => handlers.set(name, handler) };
  new Function('self', 'caches', 'fetch', source)(worker, caches, network);

  async function ask(url: string, mode = 'no-cors'): Promise<string | undefined> {
    let answer: Promise<Response> | undefined;
    const waits: Promise<unknown>[] = [];
    handlers.get('fetch')!({
      request: { url: `https://klieg.example${url}`, mode },
      respondWith: (response: Promise<Response>) => { answer = response; },
      waitUntil: (wait: Promise<unknown>) => waits.push(wait),
    });
    const text = await (await answer)?.text();
    await Promise.all(waits);
    return text;
  }
  return { ask, kept };
}

test('a file of the offline page is kept as it was fetched last', async () => {
  let release = 'one';
  const { ask, kept } = start(async () => {
    if (release === '') throw new TypeError('offline');
    return new Response(release);
  });
  expect(await ask('/offline.css')).toBe('one');
  release = 'two';
  expect(await ask('/offline.css?again')).toBe('two');
  expect(await ask('/room/a', 'navigate')).toBe('two');
  expect(await ask('/assets/index.js')).toBeUndefined();
  release = '';
  expect(await ask('/room/a', 'navigate')).toBe('offline');
  expect([...kept.keys()]).toEqual(['/offline.html', '/offline.css']);
  expect(await kept.get('/offline.css')!.text()).toBe('two');
});

test('an error of the server is not kept', async () => {
  const { ask, kept } = start(async () => new Response('busy', { status: 503 }));
  expect(await ask('/favicon.svg')).toBe('busy');
  expect(kept.has('/favicon.svg')).toBe(false);
});
