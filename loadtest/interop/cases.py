"""What happens within a session, beyond its frames: a wait for the publisher, ICE restarts, layers, `DELETE`."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from measure import Row, measure
from process import Failed, Peer
from scene import MEDIA_WITHIN_S, Scene

ENDED_WITHIN_S = 20.0
QUIET_AFTER_S = 1.0
QUIET_FOR_S = 2.0
LAYERS_SENT = 3
REFERENCE = "werift"
KEY = "demo-key"
WITHOUT_UDP = "--without-udp"
BY_RELAY = ("aiortc",)
"""Those that have no candidates of TCP."""


@dataclass(frozen=True)
class Case:
    """Something that one stack does, while the reference publishes or watches."""

    what: str
    """As in the table."""
    run: Callable[[Scene, str, str, Row], Awaitable[None]]
    """Fills the row; given the stack and the codec."""
    stacks: tuple[str, ...]
    """Who can do it."""
    codecs: tuple[str, ...] = ("vp8",)
    publishes: bool = True
    """Whether the stack is the publisher."""

    async def play(self, binary: Path, stack: str, codec: str) -> Row:
        """Runs it on a server of its own."""
        named = f"{stack}: {self.what}"
        row = Row(named, codec, REFERENCE) if self.publishes else Row(REFERENCE, codec, named)
        try:
            async with Scene(binary) as scene:
                await self.run(scene, stack, codec, row)
        except (Failed, TimeoutError) as error:
            row.fault = row.fault or str(error) or "timeout"
        return row


async def waits(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A viewer who is there before the publisher gets the first frame with everyone."""
    sink = await scene.watcher(stack, codec)
    await sink.event("session", MEDIA_WITHIN_S)
    source = await scene.publisher(REFERENCE, codec)
    await measure(source, [sink], [row])


async def publisher_restarts(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A publisher restarts ICE by `PATCH`: the frames go on."""
    source = await scene.publisher(stack, codec)
    sink = await scene.watcher(REFERENCE, codec)
    await sink.event("media", MEDIA_WITHIN_S)
    await source.ask("restart", "restarted")
    await measure(source, [sink], [row])


async def watcher_restarts(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A watcher restarts ICE by `PATCH`: the frames go on."""
    source = await scene.publisher(REFERENCE, codec)
    sink = await scene.watcher(stack, codec)
    await sink.event("media", MEDIA_WITHIN_S)
    await sink.ask("restart", "restarted")
    await measure(source, [sink], [row])


async def layers(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A publisher offers three layers by RID."""
    source = await scene.publisher(stack, codec, "--layers", str(LAYERS_SENT))
    sink = await scene.watcher(REFERENCE, codec)
    await measure(source, [sink], [row])
    row.more["layers sent"] = sent = (await source.count())["layers"]
    if sent < LAYERS_SENT:
        raise Failed(f"{sent} layers were sent")


async def publishes_by_tcp(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A publisher without UDP comes by the server's own TCP, or by its relay."""
    source = await scene.publisher(stack, codec, WITHOUT_UDP)
    sink = await scene.watcher(REFERENCE, codec)
    await measure(source, [sink], [row])
    await check_tcp(scene, stack)


async def watches_by_tcp(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """A watcher without UDP comes by the server's own TCP, or by its relay."""
    source = await scene.publisher(REFERENCE, codec)
    sink = await scene.watcher(stack, codec, WITHOUT_UDP)
    await measure(source, [sink], [row])
    await check_tcp(scene, stack)


async def check_tcp(scene: Scene, stack: str) -> None:
    """Fails unless the server has the stack on a connection of TCP."""
    names = ("klieg_turn_connections", "klieg_turn_allocations") if stack in BY_RELAY else ("klieg_sfu_tcp_connections",)
    for name in names:
        if await scene.metric(name) == 0:
            raise Failed(f"{name} is 0")


async def publisher_deleted(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """`DELETE` of a publisher's session ends it for the publisher and its frames for the watcher."""
    source = await scene.publisher(stack, codec)
    sink = await scene.watcher(REFERENCE, codec)
    await measure(source, [sink], [row])
    session = (await source.event("session", MEDIA_WITHIN_S))["url"]
    row.more["ms to its end"] = await ends(source, session, KEY)
    await quiet(sink)


async def watcher_deleted(scene: Scene, stack: str, codec: str, row: Row) -> None:
    """`DELETE` of a watcher's session ends it."""
    source = await scene.publisher(REFERENCE, codec)
    sink = await scene.watcher(stack, codec)
    await measure(source, [sink], [row])
    session = (await sink.event("session", MEDIA_WITHIN_S))["url"]
    row.more["ms to its end"] = await ends(sink, session, None)


async def ends(peer: Peer, session: str, token: str | None) -> int:
    """Deletes a session and returns after how many milliseconds its peer says that it is over."""
    # One that was there before `DELETE` is not its effect.
    before = peer.seen("ended")
    began = time.monotonic()
    await asyncio.gather(delete(session, token), peer.event("ended", ENDED_WITHIN_S, before + 1))
    return round(1000 * (time.monotonic() - began))


async def delete(session: str, token: str | None) -> None:
    """Deletes a session as somebody else with the same token would, twice: then it is gone."""
    for wanted in (200, 404):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(session, headers=headers, method="DELETE")
        status = await asyncio.to_thread(_status, request)
        if status != wanted:
            raise Failed(f"DELETE: {status}, not {wanted}")


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=ENDED_WITHIN_S) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


async def quiet(sink: Peer) -> None:
    """Fails when frames still come."""
    await asyncio.sleep(QUIET_AFTER_S)
    before = await sink.count()
    await asyncio.sleep(QUIET_FOR_S)
    after = await sink.count()
    if after["frames"] != before["frames"]:
        raise Failed("frames still come after DELETE")


CASES = [
    Case("waits for the publisher", waits, ("aiortc", "gstreamer", "chromium", "firefox"), publishes=False),
    Case("restarts ICE", publisher_restarts, ("wrtc", "chromium", "firefox")),
    Case("restarts ICE", watcher_restarts, ("wrtc", "chromium", "firefox"), publishes=False),
    Case("three layers", layers, ("chromium", "firefox")),
    Case("without UDP", publishes_by_tcp, ("aiortc", "wrtc", "gstreamer")),
    Case("without UDP", watches_by_tcp, ("aiortc", "wrtc", "gstreamer"), publishes=False),
    Case("DELETE", publisher_deleted, ("aiortc", "node-datachannel", "chromium", "firefox")),
    Case("DELETE", watcher_deleted, ("aiortc", "node-datachannel", "chromium", "firefox"), publishes=False),
]

CORE_CASES = [
    Case("without UDP", watches_by_tcp, ("aiortc",), publishes=False),
    Case("DELETE", publisher_deleted, ("aiortc",)),
]
