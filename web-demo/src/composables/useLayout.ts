/** What viewers see and hear of camera, microphone and screen. */

import { computed, onScopeDispose, ref, shallowRef, watch } from 'vue';
import type { Ref } from 'vue';
import { Composition } from './composition.js';
import type { Corner, Size } from './composition.js';
import { mix } from './mix.js';
import type { Mix } from './mix.js';
import { useScreen } from './useScreen.js';

/** The camera, the screen, or both in one picture. */
export type Layout = 'camera' | 'screen' | 'both';

/** What it is made of. */
export interface Sources {
  /** Camera and microphone. */
  devices: Readonly<Ref<MediaStream | undefined>>;
  cameraOn: Readonly<Ref<boolean>>;
  micOn: Readonly<Ref<boolean>>;
  /** Of the picture. */
  size: Readonly<Ref<Size>>;
}

/** Picks what is sent; `replaced` is told each track that takes the place of another. */
export function useLayout({ devices, cameraOn, micOn, size }: Sources, replaced: (track: MediaStreamTrack) => void) {
  const layout = ref<Layout>('camera');
  const corner = ref<Corner>('bottomRight');
  const screen = useScreen(() => { layout.value = 'camera'; });
  const picture = shallowRef<MediaStreamTrack>();
  const sound = shallowRef<MediaStreamTrack>();
  /** There while both are shown. */
  let composition: Composition | undefined;
  /** There while two sounds are sent. */
  let mixed: Mix | undefined;

  /** Changes the layout; asks for a screen where there has to be one, and stays as it is where there is none. */
  async function choose(wanted: Layout): Promise<void> {
    if (wanted === 'camera' || screen.stream.value !== undefined || await screen.open(size.value)) layout.value = wanted;
  }

  /** Shares something else, in the same layout. */
  async function shareAnother(): Promise<void> {
    await screen.open(size.value);
  }

  function stopSharing(): void {
    layout.value = 'camera';
    screen.close();
  }

  function arrangePicture(): void {
    const camera = devices.value?.getVideoTracks()[0];
    const shared = screen.stream.value?.getVideoTracks()[0];
    const before = composition;
    if (layout.value !== 'both' || shared === undefined) {
      composition = undefined;
    } else {
      if (before?.size.width !== size.value.width) composition = new Composition(size.value, corner.value);
      composition?.show(shared, camera);
    }
    send(picture, composition?.track ?? (layout.value === 'camera' ? camera : shared));
    if (before !== composition) before?.close();
  }

  function arrangeSound(): void {
    const voice = devices.value?.getAudioTracks()[0];
    const played = layout.value === 'camera' ? undefined : screen.stream.value?.getAudioTracks()[0];
    const before = mixed;
    mixed = voice !== undefined && played !== undefined ? mix([voice, played]) : undefined;
    send(sound, mixed?.track ?? played ?? voice);
    before?.close();
  }

  function send(to: Ref<MediaStreamTrack | undefined>, track: MediaStreamTrack | undefined): void {
    if (to.value === track) return;
    to.value = track;
    if (track !== undefined) replaced(track);
  }

  watch([devices, screen.stream, layout, size], arrangePicture, { flush: 'sync', immediate: true });
  watch([() => devices.value?.getAudioTracks()[0], screen.stream, () => layout.value === 'camera'], arrangeSound, { flush: 'sync', immediate: true });
  watch(size, (value) => screen.resize(value), { flush: 'sync' });
  watch(corner, (value) => {
    if (composition !== undefined) composition.corner = value;
  });
  onScopeDispose(() => {
    composition?.close();
    mixed?.close();
  });

  /** The screen's sound goes on while the microphone is off. */
  const playsSound = computed(() => layout.value !== 'camera' && (screen.stream.value?.getAudioTracks().length ?? 0) > 0);
  return {
    layout, corner, choose, shareAnother, stopSharing, screen, playsSound,
    /** Whether viewers are to see and hear anything. */
    pictureOn: computed(() => picture.value !== undefined && (layout.value !== 'camera' || cameraOn.value)),
    soundOn: computed(() => sound.value !== undefined && (playsSound.value || micOn.value)),
    /** What is sent; `undefined` while there is nothing. */
    stream: computed(() => {
      const tracks = [picture.value, sound.value].filter((track) => track !== undefined);
      return tracks.length === 0 ? undefined : new MediaStream(tracks);
    }),
  };
}
