"""Offhook: SFU calls for Python: join, publish, subscribe, sound in and out as NumPy arrays, leave.

    async with offhook.Client("https://video.example.com", user_id="ann", token=...) as client:
        async with client.join("demo") as call:
            track = call.publish_audio()
            async for frame in call.audio():
                ...

Client and Call are for asyncio; offhook.blocking has the same for threads. README.md has the rest.
"""

from . import blocking
from ._base import Cleared, Publisher, Subscriber
from ._native import ABI_VERSION, abi_version, library_path, version
from .aio import AudioHandler, Call, Client, EventHandler, Joining, TokenHandler, Track
from .audio import AudioFrame, Samples
from .enums import (
    FOREVER, NO_DRAIN, AudioFormat, Capability, Direction, EndReason, EventKind, Layer, LeaveReason, LogLevel, Network,
    ParticipantKind, Protocol, ReconnectKind, Result, Right, RpcErrorCode, State, TrackKind, UnplayableReason,
)  # fmt: skip
from .errors import (
    AbiError, ArgumentError, AuthError, BufferTooSmallError, CallCancelledError, ClosedError, EmptyError, Error,
    ForkedError, FullError, HandleError, InsecureError, InternalError, LimitError, MediaError, NetworkError,
    ProtocolError, RefusedError, RpcError, StateError, TimedOutError, TlsError, UnsupportedError, WouldDeadlockError,
)  # fmt: skip
from .events import (
    AudioEvent, AudioLevel, ConnectionQuality, Counts, CustomEvent, DataEvent, DominantSpeaker, Dtmf, Ended,
    ErrorEvent, Event, Grants, Joined, LocalEvent, LocalFailed, LocalPublished, Lost, MediaEvent, ParticipantEvent,
    ParticipantJoined, ParticipantLeft, ParticipantUpdated, Pin, Pins, Reconnected, RoomEvent, RpcRequest, RpcResponse,
    StateChanged, Subscribable, TextEvent, TextPart, TokenNeeded, TrackEvent, TrackPublished, TrackUnpublished,
    UnknownEvent, UnplayableEvent, Unsent,
)  # fmt: skip
from .log import LogHandler, set_log
from .options import (
    AccessTokenOptions, AudioTrackOptions, CallOptions, ClientOptions, DataOptions, Limits, RemoteTrackOptions,
)  # fmt: skip
from .stats import Stats, access_token, network_changed, result_message, result_name, set_limits, shutdown, state_name

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION", "AbiError", "AccessTokenOptions", "ArgumentError", "AudioEvent", "AudioFormat", "AudioFrame",
    "AudioHandler", "AudioLevel", "AudioTrackOptions", "AuthError", "BufferTooSmallError", "Call",
    "CallCancelledError", "CallOptions", "Capability", "Client", "ClientOptions", "Cleared", "ClosedError", "ConnectionQuality",
    "Counts", "CustomEvent", "DataEvent", "DataOptions", "Direction", "DominantSpeaker", "Dtmf", "EmptyError",
    "EndReason", "Ended", "Error", "ErrorEvent", "Event", "EventHandler", "EventKind", "FOREVER", "ForkedError",
    "FullError", "Grants", "HandleError", "InsecureError", "InternalError", "Joined", "Joining", "Layer",
    "LeaveReason", "LimitError", "Limits", "LocalEvent", "LocalFailed", "LocalPublished", "LogHandler", "LogLevel", "Lost",
    "MediaError", "MediaEvent", "NO_DRAIN", "Network", "NetworkError", "ParticipantEvent", "ParticipantJoined",
    "ParticipantKind", "ParticipantLeft", "ParticipantUpdated", "Pin", "Pins", "Protocol", "ProtocolError",
    "Publisher", "ReconnectKind", "Reconnected", "RefusedError", "RemoteTrackOptions", "Result", "Right", "RoomEvent",
    "RpcError", "RpcErrorCode", "RpcRequest", "RpcResponse", "Samples", "State", "StateChanged", "StateError", "Stats",
    "Subscribable", "Subscriber", "TextEvent", "TextPart", "TimedOutError", "TlsError", "TokenHandler", "TokenNeeded",
    "Track", "TrackEvent", "TrackKind", "TrackPublished", "TrackUnpublished", "UnknownEvent", "UnplayableEvent",
    "UnplayableReason", "Unsent", "UnsupportedError", "WouldDeadlockError", "abi_version", "access_token", "blocking",
    "library_path", "network_changed", "result_message", "result_name", "set_limits", "set_log", "shutdown", "state_name", "version",
]  # fmt: skip
