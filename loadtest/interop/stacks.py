"""The stacks: how each is started, and what it can do."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from process import Peer

HERE = Path(__file__).parent
TARGET = Path(os.environ.get("KLIEG_INTEROP_DIR", HERE / "../../target/interop")).resolve()


@dataclass(frozen=True)
class Place:
    """Where things are during one run."""

    url: str
    """The server under test."""
    page: str
    """The page that browsers open."""


@dataclass(frozen=True)
class Stack:
    """One implementation of WebRTC."""

    name: str
    """As in the table."""
    command: tuple[str, ...]
    """Starts it; the role and its options follow."""
    publishes: tuple[str, ...] = ("vp8", "h264")
    """The codecs it sends."""
    watches: tuple[str, ...] = ("vp8", "h264")
    """The codecs whose frames it counts."""

    def peer(self, role: str, place: Place, codec: str, more: tuple[str, ...] = ()) -> Peer:
        """Returns a process of it, not yet started, that publishes to or watches the demo room."""
        path = "whip" if role == "publish" else "whep"
        options = ["--url", f"{place.url}/{path}/demo", "--codec", codec, "--name", self.name, *more]
        if role == "publish":
            options += ["--token", "demo-key"]
        environment = {
            "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1", "KLIEG_INTEROP_SAMPLES": str(TARGET / "samples"),
            "KLIEG_INTEROP_PAGE": place.page,
        }
        return Peer(f"{self.name} ({role})", [*self.command, role, *options], environment)


def python(module: str) -> tuple[str, ...]:
    """Runs with the packages of requirements.txt."""
    return (sys.executable, "-m", f"peers.{module}")


def node(script: str) -> tuple[str, ...]:
    """Runs with the packages of package-lock.json."""
    return ("node", str(HERE / "peers" / script))


STACKS = {
    stack.name: stack
    for stack in (
        Stack("aiortc", python("aiortc_peer")),
        Stack("werift", node("werift.mjs")),
        Stack("ffmpeg8", python("ffmpeg"), publishes=("h264",), watches=()),
        Stack("ffmpeg9", python("ffmpeg"), publishes=("h264",), watches=()),
        # Its build of libwebrtc has no H.264.
        Stack("wrtc", node("wrtc.mjs"), publishes=("vp8",), watches=("vp8",)),
        Stack("node-datachannel", node("node-datachannel.mjs")),
        # Debian's Python has the bindings; those of a virtual environment would have to be compiled.
        Stack("gstreamer", ("/usr/bin/python3", "-m", "peers.gstreamer")),
        Stack("chromium", node("browser.mjs")),
        Stack("firefox", node("browser.mjs"), publishes=("vp8",), watches=("vp8",)),
    )
}
