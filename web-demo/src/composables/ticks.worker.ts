/** Says when to draw: browsers slow down the timers of a page that nobody looks at, but not those of its workers. */

/** Takes the time between two ticks, in milliseconds. */
addEventListener('message', ({ data }: MessageEvent<number>) => {
  setInterval(() => postMessage(0), data);
}, { once: true });

export {};
