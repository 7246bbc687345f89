/** Pictures small enough for the server: of what a host sends, and of what a host chose. */

/** What the server takes. */
const MAX_BYTES = 256 * 1024;
const MAX_SIDE = 1280;
/** How well pictures are packed: the next where one has too many bytes. */
const QUALITIES = [0.85, 0.7, 0.5];
/** A live one is small, as the least layer of those is that the server makes itself. */
const LIVE_WIDTH = 480;
const LIVE_QUALITY = 0.7;
/** How long a frame may take to come. */
const FRAME_WITHIN_MS = 3_000;

/** In pixels. */
interface Size {
  width: number;
  height: number;
}

/** Makes a JPEG of a file; without what cameras write beside a picture, such as where it was taken. Throws where it is none. */
export async function pictureOf(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  try {
    for (const quality of QUALITIES) {
      const picture = await pack(bitmap, within(bitmap, MAX_SIDE), quality);
      if (picture.size <= MAX_BYTES) return picture;
    }
    // Noise: as large as a card shows it.
    return await pack(bitmap, within(bitmap, LIVE_WIDTH), LIVE_QUALITY);
  } finally {
    bitmap.close();
  }
}

/** Makes a small JPEG of what a track shows; `undefined` where no frame of it comes. */
export async function frameOf(track: MediaStreamTrack): Promise<Blob | undefined> {
  const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true });
  video.srcObject = new MediaStream([track]);
  try {
    const loaded = new Promise<boolean>((resolve) => {
      video.addEventListener('loadeddata', () => resolve(true), { once: true });
      setTimeout(() => resolve(false), FRAME_WITHIN_MS);
    });
    await video.play().catch(() => {}); // No frame comes then.
    if (!await loaded) return undefined;
    const size = { width: video.videoWidth, height: video.videoHeight };
    return await pack(video, within(size, LIVE_WIDTH), LIVE_QUALITY);
  } finally {
    video.srcObject = null;
  }
}

/** Returns a size of the same shape, with no side longer than `most`. */
export function within({ width, height }: Size, most: number): Size {
  const scale = Math.min(1, most / Math.max(width, height));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

async function pack(source: CanvasImageSource, size: Size, quality: number): Promise<Blob> {
  const canvas = Object.assign(document.createElement('canvas'), size);
  // JPEG has no holes to look through.
  canvas.getContext('2d', { alpha: false })!.drawImage(source, 0, 0, size.width, size.height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', quality));
  if (blob === null) throw new TypeError('no picture came of it');
  return blob;
}
