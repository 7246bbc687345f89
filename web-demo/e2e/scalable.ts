/** What a test of layers does inside a page; each function is sent to the browser, so it uses nothing from outside itself. */

declare global {
  interface Window {
    /** How the picture was shown since it was asked last. */
    kliegShown: { longestGapMs: number; resolutions: number } | undefined;
    kliegDrawing: ReturnType<typeof setInterval> | undefined;
  }
}

/** What a decoder has done. */
export interface Decoded {
  frames: number;
  width: number;
  freezes: number;
  /** Keyframes that it asked for. */
  pictureLosses: number;
  /** Frames that came whole and were not decoded. */
  undecoded: number;
  longestGapMs: number;
  /** How often the size changed. */
  resolutions: number;
}

/** Publishes a drawing by WHIP, split as asked, in a size that two processors encode in software. */
export async function publishScalable(given: string): Promise<void> {
  const { codec, mode } = JSON.parse(given) as { codec: string; mode: string };
  const isSimulcast = mode === 'simulcast';
  // As small as Chromium makes so many sizes of.
  const size = isSimulcast || mode.startsWith('L3') ? { width: 960, height: 540 } : mode.startsWith('L2') ? { width: 480, height: 288 } : { width: 320, height: 192 };
  // Three sizes of AV1 at 30 a second are more than a processor makes beside what else goes on.
  const rate = codec === 'AV1' && (isSimulcast || mode.startsWith('L3')) ? 24 : 30;
  const canvas = Object.assign(document.createElement('canvas'), size);
  const brush = canvas.getContext('2d')!;
  // Plain enough that a keyframe each second fits the rate: an encoder that is over it leaves out frames, for up to 0.8 s seen with AV1.
  window.kliegDrawing = setInterval(() => {
    const now = performance.now();
    brush.fillStyle = '#234';
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.fillStyle = `hsl(${now / 20 % 360} 60% 40%)`;
    for (let square = 0; square < 8; square++) brush.fillRect((now / 10 + square * 110) % canvas.width, square * canvas.height / 8, 40, 40);
  }, 1000 / rate);
  const [drawing] = canvas.captureStream(rate).getVideoTracks();
  const peer = new RTCPeerConnection();
  // Said even where it is one layer: without it Chromium takes several encodings of VP9 and AV1 for spatial layers of one stream.
  const temporal = { scalabilityMode: codec === 'VP8' ? 'L1T3' : 'L1T1' };
  // With much less the encoder leaves out frames for half a second behind each keyframe.
  const sendEncodings = isSimulcast
    ? [
        { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 200_000, ...temporal },
        { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, ...temporal },
        { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_500_000, ...temporal },
      ]
    : [{ maxBitrate: mode.startsWith('L3') ? 1_500_000 : 400_000, scalabilityMode: mode }];
  const transceiver = peer.addTransceiver(drawing!, { direction: 'sendonly', sendEncodings });
  const formats = RTCRtpSender.getCapabilities('video')!.codecs.filter(({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType));
  transceiver.setCodecPreferences(formats);
  const extensible = transceiver as unknown as {
    getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
    setHeaderExtensionsToNegotiate(extensions: { uri: string; direction: string }[]): void;
  };
  const extensions = extensible.getHeaderExtensionsToNegotiate();
  for (const extension of extensions) if (extension.uri.includes('dependency-descriptor')) extension.direction = 'sendrecv';
  extensible.setHeaderExtensionsToNegotiate(extensions);
  await peer.setLocalDescription();
  const headers = { 'content-type': 'application/sdp', 'authorization': 'Bearer demo-key' };
  const answer = await fetch('/whip/demo', { method: 'POST', headers, body: peer.localDescription!.sdp });
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
}

/** Ends what the page sends or shows. */
export function stopPublishing(): void {
  clearInterval(window.kliegDrawing);
  for (const peer of window.kliegPeers) peer.close();
  for (const video of document.querySelectorAll('video')) video.remove();
}

/** Watches by WHEP in a `<video>` of the page, and counts what it shows. */
export async function watchScalable(): Promise<void> {
  const peer = new RTCPeerConnection();
  const transceiver = peer.addTransceiver('video', { direction: 'recvonly' });
  const extensible = transceiver as unknown as {
    getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
    setHeaderExtensionsToNegotiate(extensions: { uri: string; direction: string }[]): void;
  };
  const extensions = extensible.getHeaderExtensionsToNegotiate();
  for (const extension of extensions) if (extension.uri.includes('dependency-descriptor')) extension.direction = 'sendrecv';
  extensible.setHeaderExtensionsToNegotiate(extensions);
  await peer.setLocalDescription();
  const answer = await fetch('/whep/demo', { method: 'POST', headers: { 'content-type': 'application/sdp' }, body: peer.localDescription!.sdp });
  await peer.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  window.kliegLayerUrl = /<([^>]+)>; rel="urn:ietf:params:whep:ext:core:layer"/.exec(answer.headers.get('link') ?? '')![1]!;
  const video = Object.assign(document.createElement('video'), { muted: true, autoplay: true, srcObject: new MediaStream([transceiver.receiver.track]) });
  Object.assign(video.style, { position: 'fixed', inset: '0', zIndex: '9', width: '320px' });
  document.body.append(video);
  let [last, width] = [0, 0];
  window.kliegShown = { longestGapMs: 0, resolutions: 0 };
  const shown = (now: number, { width: next }: VideoFrameCallbackMetadata) => {
    const seen = window.kliegShown!;
    if (last > 0) seen.longestGapMs = Math.max(seen.longestGapMs, now - last);
    seen.resolutions += Number(next !== width);
    [last, width] = [now, next];
    video.requestVideoFrameCallback(shown);
  };
  video.requestVideoFrameCallback(shown);
}

/** Reads what the decoder has done; `begin` counts gaps and sizes anew. */
export async function decoded(given: string): Promise<Decoded> {
  if (given === 'begin') window.kliegShown = { longestGapMs: 0, resolutions: 0 };
  const seen: Decoded = { frames: 0, width: 0, freezes: 0, pictureLosses: 0, undecoded: 0, ...window.kliegShown ?? { longestGapMs: 0, resolutions: 0 } };
  const report = await window.kliegPeers.at(-1)!.getStats() as unknown as Map<string, Record<string, unknown>>;
  for (const entry of report.values()) {
    if (entry['type'] !== 'inbound-rtp') continue;
    const number = (name: string) => Number(entry[name] ?? 0);
    seen.frames = number('framesDecoded');
    seen.width = number('frameWidth');
    seen.freezes = number('freezeCount');
    seen.pictureLosses = number('pliCount');
    seen.undecoded = number('framesReceived') - number('framesDecoded') - number('framesDropped');
  }
  return seen;
}
