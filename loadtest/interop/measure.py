"""Counting frames at both ends within the same seconds, and the table of it."""

import asyncio
from dataclasses import dataclass, field

from process import Failed, Peer
from scene import MEDIA_WITHIN_S

WINDOW_S = 10.0
SETTLE_EVERY_S = 1.0
SETTLED_FRAMES = 2
SETTLE_WITHIN_S = 20.0
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
        result = "passed" if self.passed else f"**failed** {' '.join(self.fault.split())}".strip()
        cells = (self.publisher, self.codec, self.watcher, self.sent, self.received, share, more, result)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEAD = "| publisher | codec | watcher | sent | received | share | also counted | result |\n" + "| --- " * 8 + "|"


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
