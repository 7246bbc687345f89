"""Child processes of a run: the server, and peers that speak lines of JSON. None outlives its `async with`."""

import asyncio
import contextlib
import functools
import http.server
import json
import os
import re
import shutil
import signal
import tempfile
import threading
import urllib.request
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

READY_WITHIN_S = 20.0
ANSWER_WITHIN_S = 10.0
STOP_WITHIN_S = 15.0
KEPT_LINES = 60


class Failed(Exception):
    """What went wrong, in words for the table."""


class Child:
    """A process in a group of its own, so that what it starts ends with it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.log: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task] = []

    async def _start(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True,
            env={**os.environ, **(environment or {})}, limit=1 << 20,
        )
        self._readers = [
            asyncio.create_task(self._read(self._process.stdout, self._on_line)),
            asyncio.create_task(self._read(self._process.stderr, self.log.append)),
        ]

    async def _read(self, stream: asyncio.StreamReader, take) -> None:
        async for line in stream:
            take(line.decode(errors="replace").rstrip())

    def _on_line(self, line: str) -> None:
        self.log.append(line)

    async def _end(self) -> None:
        if self._process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                await asyncio.wait_for(self._process.wait(), 3.0)
            except TimeoutError:
                continue
        await self._process.wait()
        for reader in self._readers:
            reader.cancel()


class Server(Child):
    """The real server for development, in a directory of its own, on ports that nobody else has."""

    def __init__(self, binary: Path, page: str) -> None:
        super().__init__("klieg")
        self._binary = binary
        self._page = page
        self._listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._data = tempfile.mkdtemp(prefix="klieg-interop-")
        self.url = ""

    async def __aenter__(self) -> Self:
        # Media on every interface, as by default: an ordinary Firefox reaches none on loopback.
        command = [str(self._binary), "--dev", "--http", "127.0.0.1:0", "--media", "0.0.0.0:0", "--data", self._data]
        command += ["--allowed-origin", self._page]
        try:
            await self._start(command, {"KLIEG_RELAY_LISTEN": "127.0.0.1:0"})
            self.url = await asyncio.wait_for(self._listening, READY_WITHIN_S)
        except BaseException as error:
            await self.__aexit__()
            raise Failed(f"the server did not start: {error} {list(self.log)}") from error
        return self

    def _on_line(self, line: str) -> None:
        super()._on_line(line)
        found = re.match(r"klieg listening http=(\S+) media=", line)
        if found and not self._listening.done():
            self._listening.set_result(found[1])

    async def metric(self, name: str) -> int:
        """Returns one of the server's numbers, which has no labels."""
        text = (await asyncio.to_thread(self._metrics)).decode()
        return int(re.search(rf"^{name} (\d+)$", text, re.MULTILINE)[1])

    def _metrics(self) -> bytes:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=ANSWER_WITHIN_S) as response:
            return response.read()

    async def __aexit__(self, *_: object) -> None:
        await self._end()
        shutil.rmtree(self._data, ignore_errors=True)


@contextlib.contextmanager
def pages(directory: Path) -> Iterator[str]:
    """Serves the browsers' page and yields its origin, which is not that of the server under test."""
    handler = functools.partial(Quiet, directory=directory)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Peer(Child):
    """A foreign stack that publishes or watches."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        super().__init__(name)
        self._command = command
        self._environment = environment
        # Browsers keep their profiles there, and may end before they can remove them.
        self._place = tempfile.mkdtemp(prefix="klieg-interop-")
        self._seen: dict[str, list[dict[str, Any]]] = {}
        self._changed = asyncio.Condition()
        self._over = False

    async def __aenter__(self) -> Self:
        await self._start(self._command, {**self._environment, "TMPDIR": self._place})
        self._readers.append(asyncio.create_task(self._watch_end()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()
        shutil.rmtree(self._place, ignore_errors=True)

    async def _read(self, stream: asyncio.StreamReader, take) -> None:
        async for line in stream:
            text = line.decode(errors="replace").rstrip()
            take(text)
            if stream is self._process.stdout and text.startswith('{"event"'):
                await self._note(json.loads(text))

    async def _note(self, event: dict[str, Any]) -> None:
        async with self._changed:
            self._seen.setdefault(event["event"], []).append(event)
            self._changed.notify_all()

    async def _watch_end(self) -> None:
        await self._process.wait()
        await asyncio.gather(*self._readers[:2], return_exceptions=True)
        async with self._changed:
            self._over = True
            self._changed.notify_all()

    def seen(self, name: str) -> int:
        """Returns how often the event of a name has come."""
        return len(self._seen.get(name, []))

    async def event(self, name: str, within_s: float, count: int = 1) -> dict[str, Any]:
        """Returns the event of a name when it has come that often."""

        def there() -> bool:
            return self.seen(name) >= count or "error" in self._seen or self._over

        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(there)
        except TimeoutError:
            raise Failed(f"{self.name}: no `{name}` within {within_s:.0f} s; {self._last_words()}") from None
        found = self._seen.get(name, [])
        if len(found) < count:
            raise Failed(f"{self.name}: {self._last_words()}")
        return found[count - 1]

    def _last_words(self) -> str:
        errors = self._seen.get("error")
        return errors[-1]["text"].strip() if errors else f"last lines: {list(self.log)[-6:]}"

    async def ask(self, command: str, answer: str, within_s: float = ANSWER_WITHIN_S) -> dict[str, Any]:
        """Sends a command and returns the event that answers it."""
        count = self.seen(answer) + 1
        self._process.stdin.write(f"{command}\n".encode())
        return await self.event(answer, within_s, count)

    async def count(self) -> dict[str, int]:
        """Returns the frames so far, and what else it counts."""
        return await self.ask("count", "count")

    async def stop(self) -> None:
        """Has the peer end its session, and waits until it has."""
        self._process.stdin.write(b"stop\n")
        await self.event("closed", STOP_WITHIN_S)
        await asyncio.wait_for(self._process.wait(), STOP_WITHIN_S)
