/** How loud the microphone is, for a meter. */

import { onScopeDispose, ref, watch } from 'vue';
import type { Ref } from 'vue';

const SAMPLE_EVERY_MS = 80;
/** What counts as silence, in decibels below full scale. */
const QUIETEST_DB = -60;

/** Measures the sound of `stream`, 0 to 1. */
export function useMicLevel(stream: Ref<MediaStream | undefined>) {
  const level = ref(0);
  let stop: (() => void) | undefined;

  watch(stream, (value) => {
    stop?.();
    level.value = 0;
    const track = value?.getAudioTracks()[0];
    stop = track && measure(track, (measured) => { level.value = measured; });
  }, { immediate: true });
  onScopeDispose(() => stop?.());
  return level;
}

function measure(track: MediaStreamTrack, tell: (level: number) => void): () => void {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    tell(loudness(samples));
  }, SAMPLE_EVERY_MS);
  return () => {
    clearInterval(timer);
    void context.close();
  };
}

/** Returns the root mean square on a scale of decibels, 0 for silence and 1 for full scale. */
export function loudness(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < samples.length; index++) sum += samples[index]! ** 2;
  const decibels = 10 * Math.log10(sum / Math.max(1, samples.length));
  return Math.min(1, Math.max(0, 1 - decibels / QUIETEST_DB));
}
