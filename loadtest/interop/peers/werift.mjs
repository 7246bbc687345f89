/** werift: WebRTC in TypeScript alone, which sends and receives RTP as it is. */

import { MediaStreamTrack, RTCPeerConnection, useH264, useOPUS, useVP8 } from 'werift';
import { emit, emitOnce, pace, run } from './control.mjs';
import { FrameCounter, RtpWriter, readFrames } from './media.mjs';
import { open } from './resource.mjs';

const CODECS = { vp8: useVP8, h264: useH264 };

function connection(codec) {
  const pc = new RTCPeerConnection({
    iceServers: [],
    bundlePolicy: 'max-bundle',
    codecs: { video: [CODECS[codec]()], audio: [useOPUS()] },
  });
  pc.connectionStateChange.subscribe((state) => {
    if (state === 'connected') emit('connected');
    if (state === 'closed' || state === 'failed' || state === 'disconnected') emit('ended', { state });
  });
  return pc;
}

async function negotiate(pc, options) {
  await pc.setLocalDescription(await pc.createOffer());
  const resource = await open(options, pc.localDescription.sdp);
  await pc.setRemoteDescription({ type: 'answer', sdp: resource.answer });
  return resource;
}

function peer(pc, resource, count) {
  return {
    count,
    async restart() {
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      const answer = await resource.restart(pc.localDescription.sdp);
      await pc.setRemoteDescription({ type: 'answer', sdp: answer });
    },
    async close() {
      await resource.delete();
      await pc.close();
    },
  };
}

async function publish(options) {
  const pc = connection(options.codec);
  const video = new MediaStreamTrack({ kind: 'video' });
  const audio = new MediaStreamTrack({ kind: 'audio' });
  pc.addTransceiver(audio, { direction: 'sendonly' });
  pc.addTransceiver(video, { direction: 'sendonly' });
  const connected = pc.connectionStateChange.watch((state) => state === 'connected');
  const resource = await negotiate(pc, options);
  await connected;
  let frames = 0;
  const picture = sender(video, options.codec, 90_000 / 30);
  const sound = sender(audio, 'opus', 960);
  pace(30, (number) => {
    picture(number);
    frames += 1;
    emitOnce('media');
  });
  pace(50, sound);
  return peer(pc, resource, () => ({ frames }));
}

/** Returns what sends the frame of a number: the samples again and again. */
function sender(track, codec, ticks) {
  const samples = readFrames(codec);
  const writer = new RtpWriter({ ssrc: 1, payloadType: 96, codec });
  return (number) => {
    for (const packet of writer.write(samples[number % samples.length], number * ticks, number)) track.writeRtp(packet);
  };
}

async function watch(options) {
  const pc = connection(options.codec);
  const counter = new FrameCounter();
  let audio = 0;
  const known = new Set();
  pc.onTrack.subscribe((track) => {
    // An answer after an ICE restart announces the same tracks again.
    if (known.has(track)) return;
    known.add(track);
    track.onReceiveRtp.subscribe(({ header, payload }) => {
      if (track.kind === 'audio') return audio += 1;
      counter.push(header.sequenceNumber, header.timestamp, header.marker, payload.length > 0);
      if (counter.frames > 0) emitOnce('media');
    });
  });
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.addTransceiver('video', { direction: 'recvonly' });
  const resource = await negotiate(pc, options);
  return peer(pc, resource, () => ({ frames: counter.frames, broken: counter.broken, again: counter.again, audio }));
}

await run({ publish, watch });
