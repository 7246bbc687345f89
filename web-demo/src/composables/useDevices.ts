/** The host's camera and microphone: which there are, which is on, and what went wrong. */

import { computed, onScopeDispose, ref, shallowRef, watch } from 'vue';
import { blurOf, setBlur } from './blur.js';

/** Why there is no camera. */
export type DeviceProblem = 'denied' | 'missing' | 'busy' | 'insecure' | 'failed';

/** A picture size with the bitrate that suits it. */
export interface Quality {
  name: string;
  width: number;
  height: number;
  bitrateBps: number;
}

export const QUALITIES: readonly Quality[] = [
  { name: '360p', width: 640, height: 360, bitrateBps: 900_000 },
  { name: '480p', width: 854, height: 480, bitrateBps: 1_400_000 },
  { name: '720p', width: 1280, height: 720, bitrateBps: 2_800_000 },
  { name: '1080p', width: 1920, height: 1080, bitrateBps: 5_000_000 },
];

/** Value of a choice that turns a kind off. */
export const NO_DEVICE = 'none';

/** Opens the devices chosen. */
export function useDevices() {
  const devices = shallowRef<MediaDeviceInfo[]>([]);
  const stream = shallowRef<MediaStream>();
  const problem = ref<DeviceProblem>();
  const opening = ref(false);
  const camera = ref('');
  const microphone = ref('');
  const quality = ref(QUALITIES[2]!.name);
  /** Whether the camera blurs what is behind the host; `undefined` where there is no such choice. */
  const blur = ref<boolean>();
  /** What the host chose, also for cameras to come. */
  let wantsBlur = false;
  let closed = false;

  /** Opens both kinds, or the one there is. */
  async function open(): Promise<void> {
    if (navigator.mediaDevices === undefined) {
      problem.value = 'insecure';
      return;
    }
    opening.value = true;
    problem.value = undefined;
    try {
      take(await openWhatThereIs());
    } catch (thrown) {
      problem.value = problemOf(thrown);
    } finally {
      opening.value = false;
    }
    await list();
  }

  async function openWhatThereIs(): Promise<MediaStream> {
    const video = videoConstraints();
    const audio = audioConstraints();
    try {
      return await navigator.mediaDevices.getUserMedia({ video, audio });
    } catch (thrown) {
      if (problemOf(thrown) !== 'missing') throw thrown;
      // One of the two is missing, the browser does not say which.
      if (audio) return await navigator.mediaDevices.getUserMedia({ audio }).catch(() => navigator.mediaDevices.getUserMedia({ video }));
      throw thrown;
    }
  }

  function take(opened: MediaStream): void {
    if (closed) return stopAll(opened);
    const before = stream.value;
    for (const track of opened.getTracks()) {
      const old = before?.getTracks().find(({ kind }) => kind === track.kind);
      if (old !== undefined) track.enabled = old.enabled;
      old?.stop();
    }
    stream.value = opened;
    camera.value = opened.getVideoTracks()[0]?.getSettings().deviceId ?? NO_DEVICE;
    microphone.value = opened.getAudioTracks()[0]?.getSettings().deviceId ?? NO_DEVICE;
  }

  /** Changes to the device chosen, also while live. */
  async function change(kind: 'audio' | 'video'): Promise<void> {
    const constraints = kind === 'video' ? { video: videoConstraints() } : { audio: audioConstraints() };
    const old = stream.value?.getTracks().find((track) => track.kind === kind);
    try {
      const chosen = kind === 'video' ? camera.value : microphone.value;
      // Many cameras open only once: let go first.
      old?.stop();
      const opened = chosen === NO_DEVICE ? undefined : (await navigator.mediaDevices.getUserMedia(constraints)).getTracks()[0];
      if (opened !== undefined && old !== undefined) opened.enabled = old.enabled;
      const others = (stream.value?.getTracks() ?? []).filter((track) => track.kind !== kind);
      stream.value = new MediaStream(opened === undefined ? others : [...others, opened]);
      problem.value = undefined;
    } catch (thrown) {
      problem.value = problemOf(thrown);
    }
  }

  /** Lets go of camera and microphone until they are opened again. */
  function release(): void {
    if (stream.value !== undefined) stopAll(stream.value);
    stream.value = undefined;
  }

  /** Blurs what is behind the host, or no more. */
  async function chooseBlur(on: boolean): Promise<void> {
    wantsBlur = on;
    const track = stream.value?.getVideoTracks()[0];
    if (track === undefined) return;
    await setBlur(track, on).catch(() => {}); // It stays as it was, which is what is shown.
    if (track === stream.value?.getVideoTracks()[0]) blur.value = blurOf(track);
  }

  watch(() => stream.value?.getVideoTracks()[0], (track) => {
    blur.value = track && blurOf(track);
    if (wantsBlur && blur.value === false) void chooseBlur(true);
    // The system has a switch of its own.
    track?.addEventListener('configurationchange', () => {
      if (track === stream.value?.getVideoTracks()[0]) blur.value = blurOf(track);
    });
  });

  async function list(): Promise<void> {
    devices.value = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  }

  function videoConstraints(): MediaTrackConstraints | false {
    if (camera.value === NO_DEVICE) return false;
    const { width, height } = QUALITIES.find(({ name }) => name === quality.value) ?? QUALITIES[2]!;
    const size = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } };
    return camera.value === '' ? size : { ...size, deviceId: { exact: camera.value } };
  }

  function audioConstraints(): MediaTrackConstraints | boolean {
    if (microphone.value === NO_DEVICE) return false;
    return microphone.value === '' ? true : { deviceId: { exact: microphone.value } };
  }

  const handleChange = () => void list();
  navigator.mediaDevices?.addEventListener('devicechange', handleChange);
  onScopeDispose(() => {
    closed = true;
    navigator.mediaDevices?.removeEventListener('devicechange', handleChange);
    release();
  });

  return {
    cameras: computed(() => devices.value.filter(({ kind }) => kind === 'videoinput')),
    microphones: computed(() => devices.value.filter(({ kind }) => kind === 'audioinput')),
    stream, problem, opening, camera, microphone, quality, blur, open, change, chooseBlur, release,
  };
}

/** Names the reason behind an exception of `getUserMedia`. */
export function problemOf(thrown: unknown): DeviceProblem {
  switch ((thrown as DOMException | undefined)?.name) {
    case 'NotAllowedError':
    case 'SecurityError': return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError': return 'missing';
    case 'NotReadableError':
    case 'AbortError': return 'busy';
    default: return 'failed';
  }
}

function stopAll(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
