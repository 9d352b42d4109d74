"""A small client of the SFU protocol on aiortc: joins, publishes one audio track, receives all others.

Written for the tests from the protocol's tables; shares only the .proto files with the library.
"""

import asyncio
import base64
import json
import time
import urllib.parse
import urllib.request
import uuid

import websockets
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from google.protobuf import json_format
from stream import event_pb2, models_pb2, signal_pb2

SERVICE = "stream.video.sfu.signal.SignalServer"
STEP = 5  # seconds for each response


class Clock:
    """The clock of the tone tracks."""

    def time(self):
        return time.monotonic()

    async def until(self, moment):
        await asyncio.sleep(max(0.0, moment - self.time()))


def token_for(user):
    """A token in the form of a JWT; the development SFU does not check its signature."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'user_id': user})}.c2lnbmF0dXJl"


def post(url, body, headers):
    """A blocking POST; returns status, content type and body of the response."""
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=STEP) as answer:
        return answer.status, answer.headers.get_content_type(), answer.read()


class Client:
    """One participant. `text_frames`: protobuf in TEXT frames; `json_rpc`: Twirp in JSON."""

    def __init__(self, url, user, call, *, text_frames, json_rpc, on_audio):
        self.url, self.user, self.call = url.rstrip("/"), user, call
        self.text_frames, self.json_rpc = text_frames, json_rpc
        self.on_audio = on_audio
        self.session = str(uuid.uuid4())
        self.joined = asyncio.get_running_loop().create_future()
        self.participants = set()
        self.counts = {"events": 0, "offers": 0, "answers": 0, "candidates": 0, "rpcs": 0, "health": 0}
        self.publisher = self.subscriber = self.socket = None
        self.failed = asyncio.get_running_loop().create_future()
        self.tasks = []
        self.early = {}

    # -- joining -----------------------------------------------------------------------------

    async def join(self):
        token = token_for(self.user)
        address = f"{self.url}/api/v2/video/call/default/{self.call}/join?api_key=interop&user_id={self.user}"
        headers = {
            "authorization": token,
            "stream-auth-type": "jwt",
            "x-stream-client": "offhook-interop",
            "content-type": "application/json",
        }
        body = json.dumps({"location": "auto", "create": True}).encode()
        status, _, answer = await asyncio.to_thread(post, address, body, headers)
        assert status in (200, 201), status
        credentials = json.loads(answer)["credentials"]
        self.rpc_url, self.token = credentials["server"]["url"], credentials["token"]
        query = urllib.parse.urlencode({
            "attempt": 0, "user_id": self.user, "api_key": "interop",
            "user_session_id": self.session, "cid": f"default:{self.call}",
        })  # fmt: skip
        endpoint = f"{credentials['server']['ws_endpoint']}?{query}"
        self.socket = await asyncio.wait_for(websockets.connect(endpoint, ping_interval=None), STEP)
        request = event_pb2.JoinRequest(
            token=self.token,
            session_id=self.session,
            unified_session_id=str(uuid.uuid4()),
            subscriber_sdp=await codecs("recvonly"),
            publisher_sdp=await codecs("sendonly"),
        )
        request.client_details.sdk.type = models_pb2.SDK_TYPE_PYTHON
        request.capabilities.append(models_pb2.CLIENT_CAPABILITY_SUBSCRIBER_VIDEO_PAUSE)
        await self.send(event_pb2.SfuRequest(join_request=request))
        self.spawn(self.read())
        response = await asyncio.wait_for(self.joined, STEP)
        self.participants.update(p.user_id for p in response.call_state.participants)
        self.spawn(self.keep_alive())
        return response

    def spawn(self, work):
        task = asyncio.create_task(work)
        task.add_done_callback(self.ended)
        self.tasks.append(task)

    def ended(self, task):
        if not task.cancelled() and task.exception() and not self.failed.done():
            self.failed.set_exception(task.exception())

    async def send(self, request):
        # Some clients send TEXT frames with bytes that are not UTF-8; the SFU must accept them.
        await self.socket.send(request.SerializeToString(), text=self.text_frames)

    async def keep_alive(self):
        while True:
            await self.send(event_pb2.SfuRequest(health_check_request=event_pb2.HealthCheckRequest()))
            await asyncio.sleep(STEP)

    # -- events ------------------------------------------------------------------------------

    async def read(self):
        try:
            while True:
                frame = await self.socket.recv(decode=False)
                event = event_pb2.SfuEvent.FromString(frame)
                self.counts["events"] += 1
                await self.handle(event.WhichOneof("event_payload"), event)
        except websockets.ConnectionClosedOK:
            pass

    async def handle(self, kind, event):
        if kind == "join_response":
            if not self.joined.done():
                self.joined.set_result(event.join_response)
        elif kind == "subscriber_offer":
            self.counts["offers"] += 1
            await self.answer(event.subscriber_offer)
        elif kind == "ice_trickle":
            await self.trickle(event.ice_trickle)
        elif kind == "participant_joined":
            self.participants.add(event.participant_joined.participant.user_id)
        elif kind == "participant_left":
            self.participants.discard(event.participant_left.participant.user_id)
        elif kind == "health_check_response":
            self.counts["health"] += 1
        elif kind == "error":
            raise RuntimeError(f"error event of the SFU: {event.error.error.message}")

    async def answer(self, offer):
        if self.subscriber is None:
            self.subscriber = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            self.subscriber.on("track", lambda track: self.spawn(self.receive_audio(track)))
        pc = self.subscriber
        await pc.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
        await self.add_early(models_pb2.PEER_TYPE_SUBSCRIBER, pc)
        await pc.setLocalDescription(await pc.createAnswer())
        await self.rpc("SendAnswer", signal_pb2.SendAnswerRequest(
            peer_type=models_pb2.PEER_TYPE_SUBSCRIBER, sdp=pc.localDescription.sdp,
            session_id=self.session, negotiation_id=offer.negotiation_id,
        ), signal_pb2.SendAnswerResponse)  # fmt: skip
        self.counts["answers"] += 1

    async def receive_audio(self, track):
        from aiortc.mediastreams import MediaStreamError

        try:
            while True:
                self.on_audio(await track.recv())
        except MediaStreamError:
            pass  # the track has ended

    async def trickle(self, message):
        self.counts["candidates"] += 1
        described = json.loads(message.ice_candidate)
        line = described.get("candidate", "")
        if not line:
            return
        candidate = candidate_from_sdp(line.removeprefix("candidate:"))
        candidate.sdpMid = described.get("sdpMid") or None
        candidate.sdpMLineIndex = described.get("sdpMLineIndex") or 0
        publisher = message.peer_type == models_pb2.PEER_TYPE_PUBLISHER_UNSPECIFIED
        pc = self.publisher if publisher else self.subscriber
        if pc is None or pc.remoteDescription is None:
            self.early.setdefault(message.peer_type, []).append(candidate)
        else:
            await pc.addIceCandidate(candidate)

    async def add_early(self, peer_type, pc):
        for candidate in self.early.pop(peer_type, []):
            await pc.addIceCandidate(candidate)

    # -- RPC ---------------------------------------------------------------------------------

    async def rpc(self, method, request, response_type):
        headers = {"authorization": self.token}
        if self.json_rpc:
            headers["content-type"] = "application/json"
            body = json_format.MessageToJson(request).encode()
        else:
            headers["content-type"] = "application/protobuf"
            body = request.SerializeToString()
        status, kind, answer = await asyncio.to_thread(post, f"{self.rpc_url}/{SERVICE}/{method}", body, headers)
        assert status == 200, (method, status)
        assert kind == headers["content-type"], f"{method}: asked in {headers['content-type']}, answered in {kind}"
        self.counts["rpcs"] += 1
        if self.json_rpc:
            response = json_format.Parse(answer, response_type(), ignore_unknown_fields=True)
        else:
            response = response_type.FromString(answer)
        if response.HasField("error") and response.error.code:
            raise RuntimeError(f"{method}: {response.error.code} {response.error.message}")
        return response

    async def publish(self, track):
        self.publisher = pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        transceiver = pc.addTransceiver(track, direction="sendonly")
        await pc.setLocalDescription(await pc.createOffer())
        info = models_pb2.TrackInfo(
            track_id=track.id, track_type=models_pb2.TRACK_TYPE_AUDIO, mid=transceiver.mid, muted=True
        )
        response = await self.rpc("SetPublisher", signal_pb2.SetPublisherRequest(
            sdp=pc.localDescription.sdp, session_id=self.session, tracks=[info],
        ), signal_pb2.SetPublisherResponse)  # fmt: skip
        await pc.setRemoteDescription(RTCSessionDescription(sdp=response.sdp, type="answer"))
        await self.add_early(models_pb2.PEER_TYPE_PUBLISHER_UNSPECIFIED, pc)
        unmute = signal_pb2.TrackMuteState(track_type=models_pb2.TRACK_TYPE_AUDIO, muted=False)
        await self.rpc("UpdateMuteStates", signal_pb2.UpdateMuteStatesRequest(
            session_id=self.session, mute_states=[unmute],
        ), signal_pb2.UpdateMuteStatesResponse)  # fmt: skip

    # -- the end -----------------------------------------------------------------------------

    async def leave(self):
        if self.socket is not None:
            try:
                leave = event_pb2.LeaveCallRequest(session_id=self.session, reason="done")
                await self.send(event_pb2.SfuRequest(leave_call_request=leave))
                await asyncio.wait_for(self.socket.close(1000), STEP)
            except websockets.ConnectionClosed:
                pass
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for pc in (self.publisher, self.subscriber):
            if pc is not None:
                await pc.close()
        if self.failed.done():
            self.failed.exception()


async def codecs(direction):
    """A temporary SDP that only announces codecs."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction=direction)
    pc.addTransceiver("video", direction=direction)
    sdp = (await pc.createOffer()).sdp
    await pc.close()
    return sdp
