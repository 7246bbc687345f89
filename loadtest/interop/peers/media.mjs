/** Media for stacks that send and receive RTP but encode and decode nothing: encoded samples out, whole frames in. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Payload bytes a packet carries at most, as in browsers. */
const PAYLOAD_BYTES = 1100;
/** How many packets may overtake a missing one before it counts as lost. */
const REORDERED = 256;

/** Reads a file of frames, each behind its length: what `samples.py` wrote. */
export function readFrames(name) {
  const file = readFileSync(join(process.env.KLIEG_INTEROP_SAMPLES, name));
  const frames = [];
  for (let at = 0; at < file.length;) {
    const size = file.readUInt32BE(at);
    frames.push(file.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return frames;
}

/** Makes the RTP packets of one stream (RFC 3550, section 5.1). */
export class RtpWriter {
  #sequence = 1000;

  constructor({ ssrc, payloadType, codec }) {
    this.ssrc = ssrc;
    this.payloadType = payloadType;
    this.split = { vp8: splitVp8, h264: splitH264, opus: (frame) => [frame] }[codec];
  }

  /** Returns the packets of a frame, the last one marked. */
  write(frame, timestamp, number) {
    const payloads = this.split(frame, number);
    return payloads.map((payload, index) => this.#packet(payload, timestamp, index === payloads.length - 1));
  }

  #packet(payload, timestamp, marker) {
    const header = Buffer.alloc(12);
    header[0] = 0x80;
    header[1] = this.payloadType | (marker ? 0x80 : 0);
    header.writeUInt16BE(this.#sequence++ & 0xffff, 2);
    header.writeUInt32BE(timestamp >>> 0, 4);
    header.writeUInt32BE(this.ssrc, 8);
    return Buffer.concat([header, payload]);
  }
}

/** RFC 7741, section 4.2: a descriptor with a picture id of 15 bits before each part. */
function splitVp8(frame, number) {
  return parts(frame).map((part, index) => {
    const descriptor = [0x80 | (index === 0 ? 0x10 : 0), 0x80, 0x80 | (number >> 8 & 0x7f), number & 0xff];
    return Buffer.concat([Buffer.from(descriptor), part]);
  });
}

/** RFC 6184: small units as they are (section 5.6), large ones as FU-A (section 5.8). */
function splitH264(frame) {
  return units(frame).flatMap((unit) => {
    if (unit.length <= PAYLOAD_BYTES) return [unit];
    const all = parts(unit.subarray(1));
    return all.map((part, index) => {
      const edges = (index === 0 ? 0x80 : 0) | (index === all.length - 1 ? 0x40 : 0);
      return Buffer.concat([Buffer.from([unit[0] & 0xe0 | 28, edges | unit[0] & 0x1f]), part]);
    });
  });
}

/** Splits what stands between the start codes of Annex B. */
function units(frame) {
  const starts = [];
  for (let at = frame.indexOf('000001', 0, 'hex'); at >= 0; at = frame.indexOf('000001', at + 3, 'hex')) starts.push(at);
  return starts.map((start, index) => {
    let end = starts[index + 1] ?? frame.length;
    while (frame[end - 1] === 0) end -= 1;
    return frame.subarray(start + 3, end);
  });
}

function parts(bytes) {
  const count = Math.ceil(bytes.length / PAYLOAD_BYTES);
  const size = Math.ceil(bytes.length / count);
  return Array.from({ length: count }, (_, index) => bytes.subarray(index * size, (index + 1) * size));
}

/** Counts frames of which every packet came, whatever the order of arrival. */
export class FrameCounter {
  frames = 0;
  broken = 0;
  again = 0;
  #waiting = new Map();
  #next;
  #whole = true;
  #newest;

  /** Takes a packet: its sequence number and timestamp, whether it ends a frame, and whether it has a payload at all. */
  push(sequence, timestamp, marker, filled) {
    this.#next ??= sequence;
    if (((sequence - this.#next) & 0xffff) >= 0x8000) return; // Late or twice.
    this.#waiting.set(sequence, { timestamp, ends: marker && filled });
    if (this.#waiting.size > REORDERED) this.#skip();
    while (this.#waiting.has(this.#next)) {
      const { timestamp, ends } = this.#waiting.get(this.#next);
      this.#waiting.delete(this.#next);
      this.#next = (this.#next + 1) & 0xffff;
      if (ends) this.#end(timestamp);
    }
  }

  #end(timestamp) {
    // A server may send what it has again to whoever lost it, under new numbers: that is the same frame.
    const isNew = this.#newest === undefined || ((timestamp - this.#newest) >>> 0) - 1 < 0x7fffffff;
    if (!this.#whole) this.broken += 1;
    else if (isNew) {
      this.frames += 1;
      this.#newest = timestamp;
    } else this.again += 1;
    this.#whole = true;
  }

  #skip() {
    while (!this.#waiting.has(this.#next)) this.#next = (this.#next + 1) & 0xffff;
    this.#whole = false;
  }
}
