"""Foreign WebRTC stacks against the real server: `run.py [--core] [--only NAME]…`. Fails when one of them does."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cases import CASES, CORE_CASES
from measure import HEAD, Row, measure
from process import Failed
from scene import Scene
from stacks import HERE, STACKS


async def play(binary: Path, publisher: str, codec: str, watchers: list[str]) -> list[Row]:
    """One stack publishes, others watch: what one sent and the others saw within the same seconds."""
    rows = [Row(publisher, codec, watcher) for watcher in watchers]
    try:
        async with Scene(binary) as scene:
            source = await scene.publisher(publisher, codec)
            sinks = [await scene.watcher(watcher, codec) for watcher in watchers]
            await measure(source, sinks, rows)
            await asyncio.gather(*(sink.stop() for sink in sinks))
            await source.stop()
    except (Failed, TimeoutError) as error:
        for row in rows:
            row.fault = row.fault or str(error) or "timeout"
    return rows


CORE = [
    ("aiortc", "vp8", ["aiortc", "werift"]),
    ("werift", "h264", ["aiortc", "werift"]),
    ("ffmpeg9", "h264", ["aiortc", "werift"]),
]
"""What needs neither browsers nor system packages."""

FULL = [
    *((name, codec, ["aiortc", "werift"]) for name, stack in STACKS.items() for codec in stack.publishes),
    *(("werift", codec, [name]) for name, stack in STACKS.items() for codec in stack.watches if name not in ("aiortc", "werift")),
    ("chromium", "vp8", ["firefox"]),
    ("firefox", "vp8", ["chromium"]),
    ("ffmpeg8", "h264", ["chromium"]),
    ("ffmpeg9", "h264", ["gstreamer", "node-datachannel"]),
]
"""Each to the references, from a reference to each, and a few across."""


async def main() -> int:
    """Runs what was asked for and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", action="store_true", help="only what is quick and needs no browser")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", choices=STACKS)
    options = parser.parse_args()
    check_snippet()
    binary = Path(os.environ.get("KLIEG_BIN", HERE / "../../target/debug/klieg")).resolve()
    began = time.monotonic()
    rows: list[Row] = []
    async for row in everything(binary, options.core, set(options.only)):
        rows.append(row)
        print(row.text(), flush=True)
    print(f"\n{HEAD}")
    print("\n".join(row.text() for row in rows))
    print(f"\n{sum(row.passed for row in rows)} of {len(rows)} passed in {time.monotonic() - began:.0f} s")
    return 0 if rows and all(row.passed for row in rows) else 1


def check_snippet() -> None:
    """Fails unless docs/encoders.md shows the very code that the browsers run."""
    snippet = (HERE / "page/snippet.js").read_text().rstrip()
    if snippet not in (HERE / "../../docs/encoders.md").read_text():
        sys.exit("docs/encoders.md does not show loadtest/interop/page/snippet.js as it is")


async def everything(binary: Path, core: bool, only: set[str]) -> AsyncIterator[Row]:
    """Yields rows as they come, of the stacks that were asked for."""
    for publisher, codec, watchers in CORE if core else FULL:
        if not only or {publisher, *watchers} & only:
            for row in await play(binary, publisher, codec, watchers):
                yield row
    for case in CORE_CASES if core else CASES:
        for stack in case.stacks:
            if not only or stack in only:
                for codec in case.codecs:
                    yield await case.play(binary, stack, codec)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
