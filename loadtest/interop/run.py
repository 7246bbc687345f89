"""Foreign WebRTC stacks against the real server: `run.py [--core] [--only NAME]…`. Fails when one of them does."""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from process import Failed, Peer, Server, pages
from stacks import HERE, STACKS, Place

WINDOW_S = 10.0
SETTLE_EVERY_S = 1.0
SETTLED_FRAMES = 2
SETTLE_WITHIN_S = 20.0
MEDIA_WITHIN_S = 20.0
SHARE = 0.95


@dataclass
class Row:
    """One line of the table."""

    publisher: str
    codec: str
    watcher: str
    sent: int = 0
    received: int = 0
    more: dict[str, int] = field(default_factory=dict)
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether enough frames came, and not more than were sent."""
        return not self.fault and self.sent > 0 and SHARE <= self.received / self.sent <= 2 - SHARE

    def text(self) -> str:
        """Returns the row as Markdown."""
        share = f"{100 * self.received / self.sent:.1f} %" if self.sent else "–"
        more = ", ".join(f"{name} {number}" for name, number in self.more.items())
        result = "passed" if self.passed else f"**failed** {self.fault}".strip()
        cells = (self.publisher, self.codec, self.watcher, self.sent, self.received, share, more, result)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEAD = "| publisher | codec | watcher | sent | received | share | also counted | result |\n" + "| --- " * 8 + "|"


async def play(binary: Path, publisher: str, codec: str, watchers: list[str]) -> list[Row]:
    """One stack publishes, others watch: what one sent and the others saw within the same seconds."""
    rows = [Row(publisher, codec, watcher) for watcher in watchers]
    try:
        async with contextlib.AsyncExitStack() as ends:
            page = ends.enter_context(pages(HERE / "page"))
            server = await ends.enter_async_context(Server(binary, page))
            place = Place(server.url, page)
            source = await ends.enter_async_context(STACKS[publisher].peer("publish", place, codec))
            await source.event("media", MEDIA_WITHIN_S)
            sinks = [
                await ends.enter_async_context(STACKS[watcher].peer("watch", place, codec))
                for watcher in watchers
            ]
            await measure(source, sinks, rows)
            await asyncio.gather(*(sink.stop() for sink in sinks))
            await source.stop()
    except Failed as error:
        for row in rows:
            row.fault = row.fault or str(error)
    return rows


async def measure(source: Peer, sinks: list[Peer], rows: list[Row]) -> None:
    """Fills the rows with what was sent and seen within ten seconds in which every watcher has a picture."""
    came = await asyncio.gather(*(sink.event("media", MEDIA_WITHIN_S) for sink in sinks), return_exceptions=True)
    for row, result in zip(rows, came, strict=True):
        if isinstance(result, BaseException):
            row.fault = str(result)
    if all(row.fault for row in rows):
        return
    seeing = [(sink, row) for sink, row in zip(sinks, rows, strict=True) if not row.fault]
    try:
        await asyncio.gather(*(settled(source, sink) for sink, _ in seeing))
    except TimeoutError:
        raise Failed("frames come at another rate than they are sent") from None
    before = await asyncio.gather(source.count(), *(sink.count() for sink, _ in seeing))
    await asyncio.sleep(WINDOW_S)
    after = await asyncio.gather(source.count(), *(sink.count() for sink, _ in seeing))
    changes = [
        {name: later[name] - earlier[name] for name in later if name != "event"}
        for earlier, later in zip(before, after, strict=True)
    ]
    for (_, row), change in zip(seeing, changes[1:], strict=True):
        row.sent = changes[0]["frames"]
        row.received = change.pop("frames")
        row.more = change


async def settled(source: Peer, sink: Peer) -> None:
    """Returns when a watcher is live: whoever joins gets the frames since the last key frame faster than they were sent."""
    async with asyncio.timeout(SETTLE_WITHIN_S):
        apart = SETTLED_FRAMES + 1
        while apart > SETTLED_FRAMES:
            before = await asyncio.gather(source.count(), sink.count())
            await asyncio.sleep(SETTLE_EVERY_S)
            after = await asyncio.gather(source.count(), sink.count())
            sent, seen = (later["frames"] - earlier["frames"] for earlier, later in zip(before, after, strict=True))
            apart = abs(sent - seen)


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
    binary = Path(os.environ.get("KLIEG_BIN", HERE / "../../target/debug/klieg")).resolve()
    began = time.monotonic()
    rows: list[Row] = []
    for publisher, codec, watchers in CORE if options.core else FULL:
        if options.only and not {publisher, *watchers} & set(options.only):
            continue
        for row in await play(binary, publisher, codec, watchers):
            rows.append(row)
            print(row.text(), flush=True)
    print(f"\n{HEAD}")
    print("\n".join(row.text() for row in rows))
    print(f"\n{sum(row.passed for row in rows)} of {len(rows)} passed in {time.monotonic() - began:.0f} s")
    return 0 if rows and all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
