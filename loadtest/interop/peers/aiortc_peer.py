"""aiortc: WebRTC in Python, which encodes and decodes with FFmpeg's libraries."""

import asyncio
import itertools

import av
from aiortc import AudioStreamTrack, RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCRtpSender
from aiortc import MediaStreamTrack, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from . import control
from .picture import pictures, sound
from .resource import Resource, relays

REPEATED = 120


class Picture(VideoStreamTrack):
    """Thirty frames a second; counts those that the encoder took."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0
        self._pictures = itertools.cycle(list(pictures(REPEATED)))

    async def recv(self) -> av.VideoFrame:
        """Returns the next frame when it is due."""
        pts, time_base = await self.next_timestamp()
        frame = next(self._pictures)
        frame.pts, frame.time_base = pts, time_base
        frame.pict_type = av.video.frame.PictureType.NONE
        self.frames += 1
        return frame


class Sound(AudioStreamTrack):
    """A tone in place of silence, paced by the track it derives from."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self) -> av.AudioFrame:
        """Returns the next 20 ms when they are due."""
        await super().recv()
        self._number += 1
        return sound(self._number)


class Peer:
    """A connection and what was counted on it."""

    def __init__(self, options) -> None:
        self.codec = options.codec
        self.frames = 0
        self.audio = 0
        self.resource: Resource | None = None
        self.connected = asyncio.Event()
        # Not `MAX_BUNDLE`: with it, aiortc 1.16 takes the candidates of the last media section alone, and an answer
        # has them in the first (RFC 9429, section 5.3.1).
        self.pc = RTCPeerConnection(by_relay(options) if options.without_udp else RTCConfiguration(iceServers=[]))
        self.pc.on("connectionstatechange", self._on_state)

    async def negotiate(self, options) -> None:
        """Sends the offer and takes the answer."""
        for transceiver in self.pc.getTransceivers():
            if transceiver.kind == "video":
                codecs = RTCRtpSender.getCapabilities("video").codecs
                transceiver.setCodecPreferences([it for it in codecs if it.name.lower() == self.codec])
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = self.pc.localDescription.sdp
        self.resource = await asyncio.to_thread(Resource, options.url, options.token, offer)
        await self.pc.setRemoteDescription(RTCSessionDescription(self.resource.answer, "answer"))

    async def _on_state(self) -> None:
        state = self.pc.connectionState
        if state == "connected":
            control.emit("connected")
            self.connected.set()
        elif state in ("closed", "failed"):
            control.emit("ended", state=state)

    async def close(self) -> None:
        """Ends the session."""
        await asyncio.to_thread(self.resource.delete)
        await self.pc.close()


def by_relay(options) -> RTCConfiguration:
    """Returns what leads through the server's relay by TCP: aioice has no candidates of TCP, so there is no other way without UDP."""
    told = [relay for relay in relays(options.url, options.token) if relay.url.endswith("?transport=tcp")]
    servers = [RTCIceServer(relay.url, relay.username, relay.credential) for relay in told]
    return RTCConfiguration(iceServers=servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY)


class Publisher(Peer):
    """Sends the moving bar and the tone."""

    def __init__(self, options) -> None:
        super().__init__(options)
        self.picture = Picture()
        self.pc.addTransceiver(Sound(), direction="sendonly")
        self.pc.addTransceiver(self.picture, direction="sendonly")

    def count(self) -> dict[str, int]:
        """Returns how many frames were encoded."""
        return {"frames": self.picture.frames}


class Watcher(Peer):
    """Decodes and counts."""

    def __init__(self, options) -> None:
        super().__init__(options)
        self.pc.addTransceiver("audio", direction="recvonly")
        self.pc.addTransceiver("video", direction="recvonly")
        self._tasks: list[asyncio.Task] = []
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._consume(track))))

    async def _consume(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                await track.recv()
                if track.kind == "audio":
                    self.audio += 1
                else:
                    self.frames += 1
                    control.emit_once("media")
        except MediaStreamError:
            return

    def count(self) -> dict[str, int]:
        """Returns how many frames were decoded."""
        return {"frames": self.frames, "audio": self.audio}


async def publish(options) -> Publisher:
    """Returns once the first frame is on its way."""
    peer = Publisher(options)
    await peer.negotiate(options)
    await peer.connected.wait()
    control.emit_once("media")
    return peer


async def watch(options) -> Watcher:
    """Returns once negotiated: the first frame may come later."""
    peer = Watcher(options)
    await peer.negotiate(options)
    return peer


if __name__ == "__main__":
    control.run({"publish": publish, "watch": watch})
