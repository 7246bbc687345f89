/** Blur of what is behind the host, where camera, system and browser have it (Media Capture and Streams Extensions, section 9). */

/** What TypeScript's DOM does not know yet. */
interface Blurring {
  backgroundBlur?: boolean;
}

/** Returns whether a camera blurs what is behind; `undefined` where a page cannot change that. */
export function blurOf(track: MediaStreamTrack): boolean | undefined {
  // Where the system alone decides, one of the two is there.
  const { backgroundBlur: states = [] } = (track.getCapabilities?.() ?? {}) as { backgroundBlur?: boolean[] };
  return states.includes(true) && states.includes(false) ? (track.getSettings() as Blurring).backgroundBlur === true : undefined;
}

/** Has a camera blur what is behind, or no more, and keep what else it was opened with. */
export async function setBlur(track: MediaStreamTrack, on: boolean): Promise<void> {
  const constraints: MediaTrackConstraints & Blurring = { ...track.getConstraints(), backgroundBlur: on };
  await track.applyConstraints(constraints);
}
