/** Camera and screen in one picture: the screen large, the camera in a corner of it. */

const FRAMES_PER_SECOND = 30;
/** The camera takes no more of the picture's width, and of its height. */
const INSET_WIDTH = 0.26;
const INSET_HEIGHT = 0.36;
/** Between the camera and the edges, as a part of the picture's width; its corners are as round. */
const MARGIN = 0.02;

/** Where the camera is, beside a screen. */
export type Corner = 'bottomRight' | 'bottomLeft' | 'topRight' | 'topLeft';

/** All of them, the one that covers least first. */
export const CORNERS: readonly Corner[] = ['bottomRight', 'bottomLeft', 'topRight', 'topLeft'];

/** In pixels. */
export interface Size {
  width: number;
  height: number;
}

/** A part of a picture, in its pixels. */
export interface Place extends Size {
  left: number;
  top: number;
}

/** Draws two tracks into one. */
export class Composition {
  /** What is drawn; black until the screen's first frame. */
  readonly track: MediaStreamTrack;
  readonly size: Size;
  corner: Corner;
  #context: CanvasRenderingContext2D;
  #screen = player();
  #camera = player();
  #ticks: Worker;
  #drawnAt = 0;

  constructor(size: Size, corner: Corner) {
    const canvas = Object.assign(document.createElement('canvas'), size);
    this.size = { ...size };
    this.corner = corner;
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.track = canvas.captureStream().getVideoTracks()[0]!;
    this.#ticks = new Worker(new URL('./ticks.worker.ts', import.meta.url), { type: 'module' });
    this.#ticks.addEventListener('message', () => this.#tick());
    this.#ticks.postMessage(1000 / FRAMES_PER_SECOND);
  }

  /** Draws these from now on; without a camera, or one that is off, the screen alone. */
  show(screen: MediaStreamTrack, camera: MediaStreamTrack | undefined): void {
    play(this.#screen, screen);
    play(this.#camera, camera);
  }

  /** Stops drawing, and the track; what was drawn goes on. */
  close(): void {
    this.#ticks.terminate();
    this.track.stop();
    play(this.#screen, undefined);
    play(this.#camera, undefined);
  }

  #tick(): void {
    const now = performance.now();
    // Of ticks that came while the page was busy, one is enough.
    if (now - this.#drawnAt < 500 / FRAMES_PER_SECOND) return;
    this.#drawnAt = now;
    const context = this.#context;
    context.fillStyle = '#000';
    context.fillRect(0, 0, this.size.width, this.size.height);
    if (hasFrame(this.#screen)) draw(context, this.#screen, fit(sizeOf(this.#screen), this.size));
    if (hasFrame(this.#camera)) drawInset(context, this.#camera, inset(sizeOf(this.#camera), this.size, this.corner));
  }
}

/** Puts all of a picture into the middle of a frame, as large as it goes. */
export function fit(picture: Size, frame: Size): Place {
  const scale = Math.min(frame.width / picture.width, frame.height / picture.height);
  const width = Math.round(picture.width * scale);
  const height = Math.round(picture.height * scale);
  return { left: Math.round((frame.width - width) / 2), top: Math.round((frame.height - height) / 2), width, height };
}

/** Puts a camera of any shape into a corner of a frame. */
export function inset(camera: Size, frame: Size, corner: Corner): Place {
  const { width, height } = fit(camera, { width: frame.width * INSET_WIDTH, height: frame.height * INSET_HEIGHT });
  const margin = Math.round(frame.width * MARGIN);
  return {
    left: corner === 'topLeft' || corner === 'bottomLeft' ? margin : frame.width - margin - width,
    top: corner === 'topLeft' || corner === 'topRight' ? margin : frame.height - margin - height,
    width, height,
  };
}

function drawInset(context: CanvasRenderingContext2D, video: HTMLVideoElement, place: Place): void {
  context.save();
  context.beginPath();
  context.roundRect(place.left, place.top, place.width, place.height, Math.round(context.canvas.width * MARGIN) / 2);
  context.clip();
  draw(context, video, place);
  context.restore();
}

function draw(context: CanvasRenderingContext2D, video: HTMLVideoElement, { left, top, width, height }: Place): void {
  context.drawImage(video, left, top, width, height);
}

/** Makes an element that plays on no page. */
function player(): HTMLVideoElement {
  return Object.assign(document.createElement('video'), { muted: true, playsInline: true, autoplay: true });
}

function play(video: HTMLVideoElement, track: MediaStreamTrack | undefined): void {
  const [playing] = (video.srcObject as MediaStream | null)?.getVideoTracks() ?? [];
  if (playing === track) return;
  video.srcObject = track === undefined ? null : new MediaStream([track]);
  if (track !== undefined) video.play().catch(() => {}); // Another track took its place.
}

function hasFrame(video: HTMLVideoElement): boolean {
  const [track] = (video.srcObject as MediaStream | null)?.getVideoTracks() ?? [];
  // One that is off would be drawn black.
  return track?.enabled === true && track.readyState === 'live' && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && video.videoWidth > 0;
}

function sizeOf(video: HTMLVideoElement): Size {
  return { width: video.videoWidth, height: video.videoHeight };
}
