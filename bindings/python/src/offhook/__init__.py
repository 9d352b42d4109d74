"""Offhook: SFU calls for Python: join, publish, subscribe, sound in and out as NumPy arrays, leave.

    async with offhook.Client("https://video.example.com", user_id="ann", token=...) as client:
        async with client.join("demo") as call:
            track = call.publish_audio()
            async for frame in call.audio():
                ...

Client and Call are for asyncio; offhook.blocking has the same for threads. README.md has the rest.
"""

from . import blocking
from ._base import Publisher, Subscriber
from ._native import ABI_VERSION, abi_version, library_path, version
from .aio import AudioHandler, Call, Client, EventHandler, Joining, TokenHandler, Track
from .audio import AudioFrame, Samples
from .enums import (
    FOREVER, AudioFormat, Capability, EndReason, EventKind, Layer, LogLevel, Network, Protocol, ReconnectKind, Result,
    RpcErrorCode, State, TrackKind,
)  # fmt: skip
from .errors import (
    AbiError, ArgumentError, AuthError, BufferTooSmallError, CallCancelledError, ClosedError, EmptyError, Error,
    ForkedError, FullError, HandleError, InsecureError, InternalError, LimitError, MediaError, NetworkError,
    ProtocolError, RefusedError, RpcError, StateError, TimedOutError, TlsError, UnsupportedError, WouldDeadlockError,
)  # fmt: skip
from .events import (
    AudioEvent, AudioLevel, ConnectionQuality, Counts, CustomEvent, DataEvent, DominantSpeaker, Ended, ErrorEvent, Event,
    Grants, Joined, LocalEvent, LocalFailed, LocalPublished, Lost, ParticipantEvent, ParticipantJoined, ParticipantLeft,
    ParticipantUpdated, Pin, Pins, Reconnected, RoomEvent, RpcRequest, RpcResponse, StateChanged, Subscribable, TextEvent,
    TokenNeeded, TrackEvent, TrackPublished, TrackUnpublished, UnknownEvent,
)  # fmt: skip
from .log import LogHandler, set_log
from .options import (
    AccessTokenOptions, AudioTrackOptions, CallOptions, ClientOptions, DataOptions, RemoteTrackOptions,
)  # fmt: skip
from .stats import Stats, access_token, network_changed, result_message, result_name, shutdown, state_name

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION", "AbiError", "AccessTokenOptions", "ArgumentError", "AudioEvent", "AudioFormat", "AudioFrame",
    "AudioHandler", "AudioLevel", "AudioTrackOptions", "AuthError", "BufferTooSmallError", "Call", "CallCancelledError",
    "CallOptions", "Capability", "Client", "ClientOptions", "ClosedError", "ConnectionQuality", "Counts", "CustomEvent",
    "DataEvent", "DataOptions", "DominantSpeaker", "EmptyError", "EndReason", "Ended", "Error", "ErrorEvent", "Event",
    "EventHandler", "EventKind", "FOREVER", "ForkedError", "FullError", "Grants", "HandleError", "InsecureError",
    "InternalError", "Joined", "Joining", "Layer", "LimitError", "LocalEvent", "LocalFailed", "LocalPublished",
    "LogHandler", "LogLevel", "Lost", "MediaError", "Network", "NetworkError", "ParticipantEvent", "ParticipantJoined",
    "ParticipantLeft", "ParticipantUpdated", "Pin", "Pins", "Protocol", "ProtocolError", "Publisher", "ReconnectKind",
    "Reconnected", "RefusedError", "RemoteTrackOptions", "Result", "RoomEvent", "RpcError", "RpcErrorCode",
    "RpcRequest", "RpcResponse", "Samples", "State", "StateChanged", "StateError", "Stats", "Subscribable",
    "Subscriber", "TextEvent", "TimedOutError", "TlsError", "TokenHandler", "TokenNeeded", "Track", "TrackEvent",
    "TrackKind", "TrackPublished", "TrackUnpublished", "UnknownEvent", "UnsupportedError", "WouldDeadlockError",
    "abi_version", "access_token", "blocking", "library_path", "network_changed", "result_message",
    "result_name", "set_log", "shutdown", "state_name", "version",
]  # fmt: skip
