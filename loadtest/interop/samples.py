"""Encodes the samples for stacks that have no encoder: one file per codec, each frame behind its length."""

import struct
import sys
from fractions import Fraction
from pathlib import Path

import av

from peers.picture import FRAMES_PER_SECOND, HEIGHT, WIDTH, pictures, sound

SECONDS = 4
VIDEO = {
    "vp8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "g": "30", "keyint_min": "30", "lag-in-frames": "0"}),
    "h264": ("libx264", {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "g": "30", "bf": "0"}),
}


def main(directory: Path) -> None:
    """Writes what is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, (encoder, options) in VIDEO.items():
        if not (directory / name).exists():
            write(directory / name, encode_video(encoder, options))
    if not (directory / "opus").exists():
        write(directory / "opus", encode_audio())


def encode_video(encoder: str, options: dict[str, str]) -> list[bytes]:
    """Returns the packets of a few seconds of the test picture, a key frame a second."""
    codec = av.CodecContext.create(encoder, "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, FRAMES_PER_SECOND), Fraction(FRAMES_PER_SECOND)
    codec.bit_rate, codec.options = 800_000, options
    packets = []
    for number, frame in enumerate(pictures(SECONDS * FRAMES_PER_SECOND)):
        frame.pts, frame.time_base = number, codec.time_base
        packets += codec.encode(frame)
    return [bytes(packet) for packet in packets + codec.encode(None)]


def encode_audio() -> list[bytes]:
    """Returns the packets of a few seconds of a tone, 20 ms each."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = 48_000, "stereo", "s16"
    codec.options = {"frame_duration": "20"}
    packets = []
    for number in range(SECONDS * 50):
        packets += codec.encode(sound(number))
    return [bytes(packet) for packet in packets + codec.encode(None)]


def write(path: Path, packets: list[bytes]) -> None:
    """Writes the file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(b"".join(struct.pack(">I", len(packet)) + packet for packet in packets))
    part.rename(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
