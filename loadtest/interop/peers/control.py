"""What every Python peer shares: its command line, its commands, and the lines of JSON it answers with."""

import argparse
import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

_told: set[str] = set()


class Peer(Protocol):
    """One end of a session."""

    def count(self) -> dict[str, int]:
        """Returns the frames so far, as `frames`, and what else is worth showing."""

    async def close(self) -> None:
        """Ends the session with `DELETE`."""


def emit(event: str, **fields: Any) -> None:
    """Writes one event as a line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def emit_once(event: str, **fields: Any) -> None:
    """Writes an event the first time only."""
    if event not in _told:
        _told.add(event)
        emit(event, **fields)


def run(roles: dict[str, Callable[[argparse.Namespace], Awaitable[Peer]]]) -> None:
    """Runs `publish` or `watch`, then obeys the lines of standard input until `stop` or its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=roles)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token")
    parser.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    parser.add_argument("--name", default="")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--without-udp", action="store_true")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(roles[options.role], options))
    except Exception:
        emit("error", text=traceback.format_exc())
        sys.exit(1)


async def _serve(start: Callable[[argparse.Namespace], Awaitable[Peer]], options: argparse.Namespace) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    peer = await start(options)
    async for line in reader:
        match line.strip():
            case b"count":
                emit("count", **peer.count())
            case b"stop":
                await peer.close()
                emit("closed")
                return
            case command:
                raise ValueError(f"unknown command {command!r}")
