"""GStreamer's webrtcbin, by the bindings that come with the system's Python."""

import asyncio
import hashlib
import re
import ssl
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from . import certificate, control  # noqa: E402
from .resource import Resource  # noqa: E402

PICTURE = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! videoconvert"
VP8 = "vp8enc deadline=1 cpu-used=8 keyframe-max-dist=60 target-bitrate=800000 ! identity name=video ! rtpvp8pay picture-id-mode=15-bit"
H264 = (
    "x264enc tune=zerolatency speed-preset=veryfast bframes=0 key-int-max=60 bitrate=800"
    " ! video/x-h264,profile=constrained-baseline ! h264parse ! identity name=video ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"
)
CAPS = {
    "vp8": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=96",
    "h264": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=97",
    "opus": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,encoding-params=(string)2,payload=111",
}
# A depayloader takes every mode, but only an offer that says so is sent frames in fragments.
PACKETIZED = ",packetization-mode=(string)1,profile-level-id=(string)42e01f"
SOUND = "audiotestsrc is-live=true freq=400 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay pt=111"
PLAY = {
    "vp8": "rtpvp8depay ! vp8dec ! fakesink name=video sync=false",
    "h264": "rtph264depay ! avdec_h264 ! fakesink name=video sync=false",
    "opus": "rtpopusdepay ! opusdec ! fakesink name=audio sync=false",
}


class Peer:
    """A pipeline with one webrtcbin, and what was counted in it."""

    def __init__(self, description: str, options) -> None:
        pipeline = Gst.Pipeline()
        self.frames = 0
        self.audio = 0
        self.resource: Resource | None = None
        self._options = options
        self._pipeline = pipeline
        self._loop = asyncio.get_running_loop()
        self._negotiated: asyncio.Future[None] = self._loop.create_future()
        self._pem = certificate.make()
        pipeline.connect("deep-element-added", self._on_element)
        pipeline.add(Gst.parse_bin_from_description(description, False))
        self._webrtc = pipeline.get_by_name("webrtc")
        self._webrtc.connect("on-negotiation-needed", self._on_negotiation_needed)
        self._webrtc.connect("notify::connection-state", self._on_state)
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, message: control.emit("error", text=str(message.parse_error())))
        threading.Thread(target=GLib.MainLoop().run, daemon=True).start()

    async def play(self) -> None:
        """Starts the pipeline and returns when the answer was taken."""
        self._pipeline.set_state(Gst.State.PLAYING)
        await self._negotiated

    def _on_element(self, _: Gst.Bin, __: Gst.Bin, element: Gst.Element) -> None:
        # GStreamer 1.22 makes RSA certificates of its own, which the server does not take (docs/interop.md).
        factory = element.get_factory()
        if factory is not None and factory.get_name() == "dtlssrtpdec":
            element.set_property("pem", self._pem)

    def _on_negotiation_needed(self, webrtc: Gst.Element) -> None:
        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._on_offer, None))

    def _on_offer(self, promise: Gst.Promise, _: object) -> None:
        # The bindings copy the reply, and the offer is within that copy: it must live as long.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self._webrtc.emit("set-local-description", offer, Gst.Promise.new())
        # Neither this thread, which is GStreamer's, nor the loop of the commands may wait for HTTP.
        text = re.sub(r"a=fingerprint:\S+ \S+", f"a=fingerprint:sha-256 {self._fingerprint()}", offer.sdp.as_text())
        threading.Thread(target=self._exchange, args=(text,), daemon=True).start()

    def _fingerprint(self) -> str:
        # webrtcbin 1.22 writes a hash over the private key and the certificate when both are given to it.
        own = self._pem[self._pem.index("-----BEGIN CERTIFICATE") :]
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(own)).digest().hex(":").upper()

    def _exchange(self, offer: str) -> None:
        try:
            self.resource = Resource(self._options.url, self._options.token, offer)
        except Exception as error:
            self._loop.call_soon_threadsafe(self._negotiated.set_exception, error)
            return
        # What is left is reached by TCP or not at all.
        udp = r"(?im)^a=candidate:\S+ \d+ udp .*\n"
        answer = re.sub(udp, "", self.resource.answer) if self._options.without_udp else self.resource.answer
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        promise = Gst.Promise.new()
        self._webrtc.emit("set-remote-description", answer, promise)
        promise.wait()
        self._loop.call_soon_threadsafe(self._negotiated.set_result, None)

    def _on_state(self, webrtc: Gst.Element, _: object) -> None:
        state = webrtc.get_property("connection-state")
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            control.emit("connected")
        elif state in (GstWebRTC.WebRTCPeerConnectionState.FAILED, GstWebRTC.WebRTCPeerConnectionState.CLOSED):
            control.emit("ended", state=state.value_nick)

    def on_frame(self, *_: object) -> Gst.PadProbeReturn:
        """Counts a picture."""
        self.frames += 1
        control.emit_once("media")
        return Gst.PadProbeReturn.OK

    def on_sound(self, *_: object) -> Gst.PadProbeReturn:
        """Counts a piece of sound."""
        self.audio += 1
        return Gst.PadProbeReturn.OK

    def count(self) -> dict[str, int]:
        """Returns what was counted."""
        return {"frames": self.frames} if self._options.role == "publish" else {"frames": self.frames, "audio": self.audio}

    async def close(self) -> None:
        """Ends the session."""
        await asyncio.to_thread(self.resource.delete)
        self._pipeline.set_state(Gst.State.NULL)


async def publish(options) -> Peer:
    """Returns when negotiated; frames that were encoded before the connection stood are not counted apart."""
    video = f"{PICTURE} ! {VP8 if options.codec == 'vp8' else H264} pt={96 if options.codec == 'vp8' else 97}"
    description = (
        f"webrtcbin name=webrtc bundle-policy=max-bundle {video} ! {CAPS[options.codec]} ! webrtc."
        f" {SOUND} ! {CAPS['opus']} ! webrtc."
    )
    peer = Peer(description, options)
    peer._pipeline.get_by_name("video").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, peer.on_frame)
    await peer.play()
    return peer


async def watch(options) -> Peer:
    """Returns when negotiated."""
    peer = Peer("webrtcbin name=webrtc bundle-policy=max-bundle", options)
    for kind in ("opus", options.codec):
        direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        caps = CAPS[kind] + (PACKETIZED if kind == "h264" else "")
        peer._webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))

    def on_pad(webrtc: Gst.Element, pad: Gst.Pad) -> None:
        if pad.direction != Gst.PadDirection.SRC:
            return
        media = pad.get_current_caps().get_structure(0).get_string("media")
        kind = "opus" if media == "audio" else options.codec
        player = Gst.parse_bin_from_description(PLAY[kind], True)
        webrtc.get_parent().add(player)
        player.sync_state_with_parent()
        count = peer.on_sound if media == "audio" else peer.on_frame
        player.get_by_name(media).get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
        pad.link(player.get_static_pad("sink"))

    peer._webrtc.connect("pad-added", on_pad)
    await peer.play()
    return peer


if __name__ == "__main__":
    Gst.init(None)
    control.run({"publish": publish, "watch": watch})
