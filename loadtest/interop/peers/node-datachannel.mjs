/** node-datachannel: libdatachannel (C++) in Node, which sends and receives RTP as it is. */

import { Audio, PeerConnection, RtcpReceivingSession, Video, initLogger } from 'node-datachannel';
import { emit, emitOnce, pace, run } from './control.mjs';
import { FrameCounter, RtpWriter, readFrames } from './media.mjs';
import { open } from './resource.mjs';

const VIDEO = { payloadType: 102, ssrc: 4242 };
const AUDIO = { payloadType: 111, ssrc: 4243 };

initLogger('Warning', (level, text) => process.stderr.write(`${level} ${text}\n`));

function connection() {
  const pc = new PeerConnection('klieg', { iceServers: [], disableAutoNegotiation: true });
  pc.onStateChange((state) => {
    if (state === 'connected') emit('connected');
    if (state === 'closed' || state === 'failed' || state === 'disconnected') emit('ended', { state });
  });
  return pc;
}

/** Adds both media; returns their tracks. */
function media(pc, codec, direction) {
  const audio = new Audio('0', direction);
  audio.addOpusCodec(AUDIO.payloadType);
  const video = new Video('1', direction);
  if (codec === 'vp8') video.addVP8Codec(VIDEO.payloadType);
  else video.addH264Codec(VIDEO.payloadType, 'profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1');
  if (direction === 'SendOnly') {
    audio.addSSRC(AUDIO.ssrc, 'klieg', 'stream', 'audio');
    video.addSSRC(VIDEO.ssrc, 'klieg', 'stream', 'video');
  }
  return { audio: pc.addTrack(audio), video: pc.addTrack(video) };
}

/** Sends the offer before the candidates, and these by `PATCH`. */
async function negotiate(pc, options) {
  const candidates = [];
  pc.onLocalCandidate((candidate) => candidates.push(candidate.replace(/^a=/, '')));
  const gathered = new Promise((resolve) => pc.onGatheringStateChange((state) => state === 'complete' && resolve()));
  const described = new Promise((resolve) => pc.onLocalDescription(resolve));
  pc.setLocalDescription('offer');
  const offer = await described;
  const resource = await open(options, offer);
  await gathered;
  await resource.trickle(offer, candidates);
  emit('trickled', { candidates: candidates.length });
  pc.setRemoteDescription(resource.answer, 'answer');
  return resource;
}

/** Holds the tracks too: messages stop when their objects are collected. */
function peer(pc, tracks, resource, count) {
  return {
    tracks,
    count,
    async close() {
      await resource.delete();
      pc.close();
    },
  };
}

async function publish(options) {
  const pc = connection();
  const { audio, video } = media(pc, options.codec, 'SendOnly');
  const opened = Promise.all([audio, video].map((track) => new Promise((resolve) => track.onOpen(resolve))));
  const resource = await negotiate(pc, options);
  await opened;
  let frames = 0;
  const picture = sender(video, { ...VIDEO, codec: options.codec }, 3000);
  pace(30, (number) => {
    picture(number);
    frames += 1;
    emitOnce('media');
  });
  pace(50, sender(audio, { ...AUDIO, codec: 'opus' }, 960));
  return peer(pc, [audio, video], resource, () => ({ frames }));
}

function sender(track, stream, ticks) {
  const samples = readFrames(stream.codec);
  const writer = new RtpWriter(stream);
  return (number) => {
    if (!track.isOpen()) return;
    const packets = writer.write(samples[number % samples.length], number * ticks, number);
    for (const packet of packets) track.sendMessageBinary(packet);
  };
}

async function watch(options) {
  const pc = connection();
  const { audio, video } = media(pc, options.codec, 'RecvOnly');
  const counter = new FrameCounter();
  let sound = 0;
  for (const track of [audio, video]) track.setMediaHandler(new RtcpReceivingSession());
  audio.onMessage(() => sound += 1);
  video.onMessage((packet) => {
    if ((packet[1] & 0x7f) !== VIDEO.payloadType) return;
    const timestamp = packet.readUInt32BE(4);
    counter.push(packet.readUInt16BE(2), timestamp, packet[1] >= 0x80, packet.length > headerBytes(packet));
    if (counter.frames > 0) emitOnce('media');
  });
  const resource = await negotiate(pc, options);
  return peer(pc, [audio, video], resource, () => ({ frames: counter.frames, broken: counter.broken, again: counter.again, audio: sound }));
}

/** Header, contributing sources, extension and padding (RFC 3550, sections 5.1 and 5.3.1). */
function headerBytes(packet) {
  let bytes = 12 + 4 * (packet[0] & 0x0f);
  if (packet[0] & 0x10) bytes += 4 + 4 * packet.readUInt16BE(bytes + 2);
  return bytes + (packet[0] & 0x20 ? packet.at(-1) : 0);
}

await run({ publish, watch });
