/** Lets the runner publish and watch with the snippet of docs/encoders.md, and look at what comes of it. */

import { publish, watch } from './snippet.js';

const SIZE = { width: 640, height: 360, frameRate: 30 };
/** What each layer of simulcast is, the smallest first. */
const RIDS = ['q', 'h', 'f'];

const addTransceiver = RTCPeerConnection.prototype.addTransceiver;
let session;

/** Publishes or watches; the snippet knows nothing of codecs and layers, so its transceivers are told here. */
window.start = async (role, { url, token, codec, layers }) => {
  RTCPeerConnection.prototype.addTransceiver = function prefer(what, init) {
    const isVideo = (what.kind ?? what) === 'video';
    const transceiver = addTransceiver.call(this, what, isVideo && layers > 1 ? { ...init, ...encodings(layers) } : init);
    if (isVideo) transceiver.setCodecPreferences(preferred(codec));
    return transceiver;
  };
  const size = layers > 1 ? { ...SIZE, width: 1280, height: 720 } : SIZE;
  session = role === 'publish'
    ? await publish(url, token, await navigator.mediaDevices.getUserMedia({ audio: true, video: size }))
    : await watch(url, document.querySelector('video'));
  session.headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  session.answer = session.pc.remoteDescription.sdp;
  session.pc.addEventListener('connectionstatechange', () => window.tell(session.pc.connectionState));
  return session.session.href;
};

function encodings(layers) {
  const sendEncodings = RIDS.slice(-layers).map((rid, index) => ({ rid, scaleResolutionDownBy: 2 ** (layers - 1 - index) }));
  return { sendEncodings };
}

function preferred(codec) {
  const { codecs } = RTCRtpReceiver.getCapabilities('video');
  const type = `video/${codec}`;
  return codecs.filter((it) => it.mimeType.toLowerCase() === type || /\/(rtx|red|ulpfec)$/i.test(it.mimeType));
}

/** Frames sent or decoded so far. */
window.count = async () => {
  const all = [...(await session.pc.getStats()).values()].filter((it) => it.kind === 'video');
  const sent = all.filter((it) => it.type === 'outbound-rtp').map((it) => it.framesSent ?? 0);
  const received = all.find((it) => it.type === 'inbound-rtp');
  if (received === undefined) return { frames: Math.max(0, ...sent), layers: sent.filter((frames) => frames > 0).length };
  return { frames: received.framesDecoded ?? 0, dropped: received.framesDropped ?? 0, lost: received.packetsLost ?? 0 };
};

/** Restarts ICE by a fragment (RFC 9725, section 4.3.3). */
window.restart = async () => {
  const { pc, headers, session: url } = session;
  await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
  const offer = pc.localDescription.sdp;
  const lines = ['a=group:BUNDLE', 'a=ice-ufrag:', 'a=ice-pwd:', 'm=', 'a=mid:'].map((start) => line(offer, start));
  const response = await fetch(url, {
    method: 'PATCH',
    headers: { ...headers, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '"*"' },
    body: lines.map((it) => `${it}\r\n`).join(''),
  });
  if (response.status !== 200) throw new Error(`restart: ${response.status} ${await response.text()}`);
  const theirs = await response.text();
  for (const start of ['a=ice-ufrag:', 'a=ice-pwd:']) {
    session.answer = session.answer.replace(new RegExp(`${start}.*`, 'g'), line(theirs, start));
  }
  await pc.setRemoteDescription({ type: 'answer', sdp: session.answer });
};

function line(text, start) {
  return text.split(/\r?\n/).find((it) => it.startsWith(start));
}

window.end = async () => {
  const { status } = await fetch(session.session, { method: 'DELETE', headers: session.headers });
  session.pc.close();
  return status;
};

window.ready = true;
