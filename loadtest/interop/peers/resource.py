"""A WHIP or WHEP client (RFC 9725, draft-ietf-wish-whep) of the standard library's alone."""

import re
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen

from .control import emit

TIMEOUT_S = 10


@dataclass(frozen=True)
class Relay:
    """A TURN server, as the endpoint tells it."""

    url: str
    username: str
    credential: str


def relays(url: str, token: str | None) -> list[Relay]:
    """Returns the TURN servers that an endpoint tells before there is an offer (RFC 9725, section 4.6)."""
    with _ask(Request(url, headers=_authorization(token), method="OPTIONS"), 200) as response:
        links = response.headers.get_all("Link") or []
    form = r'<(turns?:[^>]+)>; rel="ice-server"; username="([^"]*)"; credential="([^"]*)"'
    return [Relay(*found.groups()) for link in links if (found := re.match(form, link))]


class Resource:
    """The address of a session, and the answer that came with it."""

    def __init__(self, url: str, token: str | None, offer: str) -> None:
        """Posts the offer."""
        self._authorization = _authorization(token)
        headers = {**self._authorization, "Content-Type": "application/sdp"}
        with _ask(Request(url, offer.encode(), headers, method="POST"), 201) as response:
            self.answer = response.read().decode()
            self.location = urljoin(url, response.headers["Location"])
            emit("session", url=self.location, etag=response.headers["ETag"])

    def delete(self) -> None:
        """Ends the session."""
        _ask(Request(self.location, headers=self._authorization, method="DELETE"), 200).close()


def _authorization(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _ask(request: Request, wanted: int):
    try:
        response = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        raise RuntimeError(f"{request.method}: {error.code} {error.read().decode()}") from error
    if response.status != wanted:
        raise RuntimeError(f"{request.method}: {response.status}, not {wanted}")
    return response
