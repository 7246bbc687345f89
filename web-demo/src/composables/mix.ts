/** Several sounds as one: the host's voice over what the screen plays. */

/** One track of several; they go on when it is closed. */
export interface Mix {
  track: MediaStreamTrack;
  close(): void;
}

/** Adds up what the tracks play, from now until it is closed. */
export function mix(tracks: readonly MediaStreamTrack[]): Mix {
  const context = new AudioContext();
  const sum = context.createMediaStreamDestination();
  for (const track of tracks) context.createMediaStreamSource(new MediaStream([track])).connect(sum);
  const [track] = sum.stream.getAudioTracks() as [MediaStreamTrack];
  return {
    track,
    close() {
      track.stop();
      void context.close();
    },
  };
}
