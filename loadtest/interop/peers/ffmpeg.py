"""FFmpeg's WHIP muxer, twice: FFmpeg 8 as a library through PyAV, FFmpeg 9 as the program. It only publishes."""

import asyncio
import itertools
import re
import tempfile
import threading
import time
from fractions import Fraction

import av
import imageio_ffmpeg

from . import certificate, control
from .picture import FRAMES_PER_SECOND, HEIGHT, SAMPLE_RATE, WIDTH, pictures, sound

X264 = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "bf": "0"}


class Library:
    """A thread that encodes and muxes; closing the muxer sends `DELETE`."""

    def __init__(self, options) -> None:
        self.frames = 0
        self._audio = 0
        self._options = options
        self._stop = threading.Event()
        self.failed: Exception | None = None
        self._thread = threading.Thread(target=self._guarded, daemon=True)
        self._thread.start()

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.failed = error
            if not self._stop.is_set():
                control.emit("ended", state=str(error))

    def _run(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(certificate.make())
            pem.flush()
            # With GnuTLS, as here, its own certificate would be on secp224r1, which nobody offers (docs/interop.md).
            self._mux({"authorization": self._options.token, "cert_file": pem.name, "key_file": pem.name})

    def _mux(self, options: dict[str, str]) -> None:
        with av.open(self._options.url, "w", format="whip", options=options) as output:
            video = output.add_stream("libx264", rate=FRAMES_PER_SECOND, options={**X264, "g": "60"})
            video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 800_000
            audio = output.add_stream("libopus", rate=SAMPLE_RATE, layout="stereo")
            frames = itertools.cycle(list(pictures(120)))
            began = None
            for number in itertools.count():
                if self._stop.is_set():
                    break
                frame = next(frames)
                frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
                frame.pict_type = av.video.frame.PictureType.NONE
                output.mux(video.encode(frame))
                while number * 50 >= self._audio * FRAMES_PER_SECOND:
                    output.mux(audio.encode(sound(self._audio)))
                    self._audio += 1
                self.frames += 1
                control.emit_once("media")
                began = time.monotonic() if began is None else began
                self._stop.wait(max(0.0, began + (number + 1) / FRAMES_PER_SECOND - time.monotonic()))

    def count(self) -> dict[str, int]:
        """Returns how many frames were muxed."""
        return {"frames": self.frames}

    async def close(self) -> None:
        """Closes the muxer."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)
        if self._thread.is_alive() or self.failed is not None:
            raise RuntimeError(f"the muxer did not close: {self.failed}")


class Program:
    """The command of docs/encoders.md, and what it reports of itself."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.frames = 0
        self._process = process
        self._reading = asyncio.create_task(self._read())
        self._errors = asyncio.create_task(self._complain())
        self._stopped = False

    async def _read(self) -> None:
        async for line in self._process.stdout:
            if match := re.match(rb"frame=(\d+)", line):
                self.frames = int(match[1])
                if self.frames > 0:
                    control.emit_once("media")

    async def _complain(self) -> None:
        text = (await self._process.stderr.read()).decode(errors="replace")
        if not self._stopped:
            control.emit("error" if self.frames == 0 else "ended", text=text)

    def count(self) -> dict[str, int]:
        """Returns how many frames were muxed when it reported last."""
        return {"frames": self.frames}

    async def close(self) -> None:
        """Ends it as a key press would."""
        self._stopped = True
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), 10)


def arguments(options) -> list[str]:
    """Returns the command line."""
    picture = f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAMES_PER_SECOND}"
    tone = f"sine=frequency=400:sample_rate={SAMPLE_RATE}"
    return [
        *("-hide_banner", "-loglevel", "error", "-nostdin", "-progress", "pipe:1", "-stats_period", "0.033"),
        *("-re", "-f", "lavfi", "-i", picture, "-re", "-f", "lavfi", "-i", tone),
        *("-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-profile:v", "baseline"),
        *("-pix_fmt", "yuv420p", "-bf", "0", "-g", "60", "-b:v", "800k"),
        *("-c:a", "libopus", "-ar", "48000", "-ac", "2", "-b:a", "64k"),
        *("-f", "whip", "-authorization", options.token, options.url),
    ]


async def publish(options) -> Library | Program:
    """Starts either."""
    if options.name == "ffmpeg8":
        return Library(options)
    pipe = asyncio.subprocess.PIPE
    program = imageio_ffmpeg.get_ffmpeg_exe()
    process = await asyncio.create_subprocess_exec(program, *arguments(options), stdout=pipe, stderr=pipe)
    return Program(process)


if __name__ == "__main__":
    control.run({"publish": publish})
