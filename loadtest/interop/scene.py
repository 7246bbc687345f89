"""What a run consists of: the server, the page for browsers, and peers; all of it ends with the scene."""

import contextlib
from pathlib import Path
from typing import Self

from process import Peer, Server, pages
from stacks import HERE, STACKS, Place

MEDIA_WITHIN_S = 20.0


class Scene:
    """A server of its own, with nobody on it yet."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._ends = contextlib.AsyncExitStack()
        self._place = Place("", "")
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as ends:
            page = ends.enter_context(pages(HERE / "page"))
            server = await ends.enter_async_context(Server(self._binary, page))
            self._place = Place(server.url, page)
            self._server = server
            self._ends = ends.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ends.aclose()

    async def metric(self, name: str) -> int:
        """Returns one of the server's numbers."""
        return await self._server.metric(name)

    async def publisher(self, name: str, codec: str, *options: str) -> Peer:
        """Starts a publisher; returns once its first frame is on its way."""
        peer = await self._ends.enter_async_context(STACKS[name].peer("publish", self._place, codec, options))
        await peer.event("media", MEDIA_WITHIN_S)
        return peer

    async def watcher(self, name: str, codec: str, *options: str) -> Peer:
        """Starts a watcher; its first frame comes later."""
        return await self._ends.enter_async_context(STACKS[name].peer("watch", self._place, codec, options))
