/** The host's screen, a window or a tab of it, with its sound where that comes along. */

import { onScopeDispose, ref, shallowRef } from 'vue';
import type { Size } from './composition.js';

/** What music needs; a voice is treated otherwise. */
const PURE_SOUND = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** What browsers ask people with, beyond what TypeScript's DOM knows. */
interface Offer extends DisplayMediaStreamOptions {
  selfBrowserSurface: 'exclude';
  surfaceSwitching: 'include';
  systemAudio: 'include';
}

/** Shares what is chosen; `ended` is called when that is over without our doing. */
export function useScreen(ended: () => void) {
  /** Phones share no screens, and pages without HTTPS nothing. */
  const available = typeof (globalThis.navigator?.mediaDevices as MediaDevices | undefined)?.getDisplayMedia === 'function';
  const stream = shallowRef<MediaStream>();
  /** The browser or the system did not let it be; a host who chose nothing knows that. */
  const failed = ref(false);
  let asking = false;
  let disposed = false;

  /** Asks for a screen, in the place of the one before, no larger than `size`; returns whether there is one. */
  async function open(size: Size): Promise<boolean> {
    if (asking) return false;
    asking = true;
    failed.value = false;
    try {
      // The page itself would be seen in itself without end.
      const offer: Offer = { video: limits(size), audio: PURE_SOUND, selfBrowserSurface: 'exclude', surfaceSwitching: 'include', systemAudio: 'include' };
      take(await navigator.mediaDevices.getDisplayMedia(offer));
      return stream.value !== undefined;
    } catch (thrown) {
      failed.value = !isChoice(thrown);
      return false;
    } finally {
      asking = false;
    }
  }

  function take(opened: MediaStream): void {
    if (disposed) return stopAll(opened);
    const before = stream.value;
    stream.value = opened;
    if (before !== undefined) stopAll(before);
    // By the browser's own button, or because the window was closed.
    opened.getVideoTracks()[0]?.addEventListener('ended', () => {
      if (stream.value !== opened) return;
      ended();
      close();
    });
  }

  /** Takes another size, where the browser can do that with what is shared. */
  function resize(size: Size): void {
    stream.value?.getVideoTracks()[0]?.applyConstraints(limits(size)).catch(() => {}); // It stays as large as it was.
  }

  function close(): void {
    const before = stream.value;
    stream.value = undefined;
    if (before !== undefined) stopAll(before);
  }

  onScopeDispose(() => {
    disposed = true;
    close();
  });
  return { available, stream, failed, open, resize, close };
}

function limits({ width, height }: Size): MediaTrackConstraints {
  return { width: { max: width }, height: { max: height }, frameRate: { max: 30 } };
}

/** Whether it is the host who chose nothing. Where the system shuts browsers out, Chromium says so in the text alone. */
function isChoice(thrown: unknown): boolean {
  const { name, message } = thrown as DOMException;
  return name === 'NotAllowedError' && !message.includes('system');
}

function stopAll(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
