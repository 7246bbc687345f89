/** `@roamhq/wrtc`: Google's libwebrtc in Node, without a browser; raw pictures in and out. */

import wrtc from '@roamhq/wrtc';
import { emit, emitOnce, pace, run } from './control.mjs';
import { open } from './resource.mjs';

const { MediaStream, RTCPeerConnection, nonstandard } = wrtc;
const WIDTH = 640;
const HEIGHT = 360;

function connection() {
  const pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
  pc.onconnectionstatechange = () => {
    const state = pc.connectionState;
    if (state === 'connected') emit('connected');
    if (state === 'closed' || state === 'failed' || state === 'disconnected') emit('ended', { state });
  };
  return pc;
}

/** Sends the offer at once: an ICE-lite server needs no candidates of ours. */
async function negotiate(pc, options) {
  const offer = await pc.createOffer();
  const sdp = onlyCodec(offer.sdp, options.codec);
  await pc.setLocalDescription({ type: 'offer', sdp });
  const resource = await open(options, sdp);
  const answer = options['without-udp'] ? onlyTcp(resource.answer) : resource.answer;
  await pc.setRemoteDescription({ type: 'answer', sdp: answer });
  return resource;
}

/** Leaves out the candidates of UDP: what is left is reached by TCP or not at all. */
function onlyTcp(sdp) {
  return sdp.replace(/^a=candidate:\S+ \d+ udp [^\r\n]*\r\n/gim, '');
}

/** Moves the payload types of a codec to the front: this stack has no `setCodecPreferences`. */
function onlyCodec(sdp, codec) {
  const types = [...sdp.matchAll(new RegExp(`^a=rtpmap:(\\d+) ${codec}/90000`, 'gim'))].map((found) => found[1]);
  if (types.length === 0) throw new Error(`no ${codec} in the offer`);
  return sdp.replace(/^(m=video \d+ \S+) ([\d ]+)/m, (_, head, all) => {
    const others = all.split(' ').filter((type) => !types.includes(type));
    return `${head} ${[...types, ...others].join(' ')}`;
  });
}

function peer(pc, resource, count) {
  return {
    count,
    async restart() {
      const offer = await pc.createOffer({ iceRestart: true });
      await pc.setLocalDescription(offer);
      await pc.setRemoteDescription({ type: 'answer', sdp: await resource.restart(offer.sdp) });
    },
    async close() {
      await resource.delete();
      pc.close();
    },
  };
}

async function publish(options) {
  const pc = connection();
  const picture = new nonstandard.RTCVideoSource();
  const sound = new nonstandard.RTCAudioSource();
  const tracks = [sound.createTrack(), picture.createTrack()];
  const stream = new MediaStream(tracks);
  for (const track of tracks) pc.addTransceiver(track, { direction: 'sendonly', streams: [stream] });
  const resource = await negotiate(pc, options);
  pace(30, (number) => picture.onFrame({ width: WIDTH, height: HEIGHT, data: bar(number) }));
  const samples = new Int16Array(480).map((_, at) => 4000 * Math.sin(2 * Math.PI * 400 * at / 48_000));
  pace(100, () => sound.onData({
    samples, sampleRate: 48_000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480,
  }));
  const count = async () => ({ frames: await counted(pc, 'outbound-rtp', 'framesSent') });
  const timer = setInterval(async () => {
    if ((await count()).frames === 0) return;
    clearInterval(timer);
    emitOnce('media');
  }, 50);
  return peer(pc, resource, count);
}

async function counted(pc, type, name) {
  const stats = [...(await pc.getStats()).values()];
  return stats.find((it) => it.type === type && it.kind === 'video')?.[name] ?? 0;
}

/** A picture in I420: a bar that moves. */
function bar(number) {
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 3 / 2).fill(128);
  const left = number * 8 % (WIDTH - 64);
  for (let row = 0; row < HEIGHT; row += 1) data.fill(235, row * WIDTH + left, row * WIDTH + left + 64);
  return data;
}

async function watch(options) {
  const pc = connection();
  let shown = 0;
  let audio = 0;
  pc.ontrack = ({ track }) => {
    const sink = track.kind === 'video' ? new nonstandard.RTCVideoSink(track) : new nonstandard.RTCAudioSink(track);
    sink.onframe = () => {
      shown += 1;
      emitOnce('media');
    };
    sink.ondata = () => audio += 1;
  };
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.addTransceiver('video', { direction: 'recvonly' });
  // A sink gets the newest frame only, when JavaScript comes late: so the decoder is asked.
  const count = async () => ({ frames: await counted(pc, 'inbound-rtp', 'framesDecoded'), shown, audio });
  return peer(pc, await negotiate(pc, options), count);
}

await run({ publish, watch });
