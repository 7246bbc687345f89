"""What every Python peer shows and plays: a bar that moves over noise, and a tone."""

from collections.abc import Iterator
from fractions import Fraction
from math import pi, sin
from random import Random
from struct import pack

import av

WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 360, 30
SAMPLE_RATE, SAMPLES = 48_000, 960


def pictures(count: int) -> Iterator[av.VideoFrame]:
    """Yields frames that differ from each other, and that are too rich for one packet each."""
    random = Random(1)
    noise = bytes(random.choices(range(90, 140), k=2 * WIDTH * HEIGHT))
    for number in range(count):
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        luma, *chroma = frame.planes
        left = number * 8 % (WIDTH - 64)
        start = random.randrange(WIDTH * HEIGHT // 2)
        rows = bytearray(noise[start : start + luma.buffer_size])
        for top in range(0, luma.buffer_size, luma.line_size):
            rows[top + left : top + left + 64] = b"\xeb" * 64
        luma.update(bytes(rows))
        for plane, value in zip(chroma, (90, 160), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        yield frame


def sound(number: int) -> av.AudioFrame:
    """Returns the 20 ms of a number of a tone of 400 Hz, stereo: eight whole waves, so it goes on without a click."""
    frame = av.AudioFrame(format="s16", layout="stereo", samples=SAMPLES)
    wave = [int(4000 * sin(2 * pi * 400 * at / SAMPLE_RATE)) for at in range(SAMPLES)]
    frame.planes[0].update(b"".join(pack("<hh", level, level) for level in wave))
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, number * SAMPLES, Fraction(1, SAMPLE_RATE)
    return frame
