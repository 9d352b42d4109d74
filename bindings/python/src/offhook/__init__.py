"""Offhook: SFU calls for Python: join, publish, subscribe, audio in and out as NumPy arrays, leave.

    async with offhook.Client("https://video.example.com", user_id="ann", token=...) as client:
        async with client.join("demo") as call:
            track = call.publish_audio()
            async for frame in call.audio():
                ...

Client and Call are for asyncio; offhook.blocking has the same for threads. README.md has the rest.
"""

from . import blocking
from ._base import Cleared, Publisher, Subscriber
from ._diagnose import Diagnosis, IceServer, diagnose
from ._native import ABI_VERSION, abi_version, library_path, version, version_number
from .aio import AudioHandler, Call, Client, EventHandler, Joining, TokenHandler, Track
from .audio import AudioFrame, Samples
from .enums import (
    FOREVER, AudioFormat, CallState, Capability, ConnectionQuality, Direction, EndReason, EventKind, IpFamily,
    LeaveReason, LogLevel, NetworkChange, ParticipantKind, Protocol, ReconnectKind, Result, Right, RpcErrorCode, TrackSource,
    UnplayableReason, UnpublishCause, VideoLayer,
)  # fmt: skip
from .errors import (
    AbiError, ArgumentError, AuthError, BufferTooSmallError, CallCancelledError, ClosedError, EmptyError, Error,
    ForkedError, FullError, HandleError, InsecureError, InternalError, LimitError, MediaError, NetworkError,
    ProtocolError, RefusedError, RpcError, StateError, TimedOutError, TlsError, UnsupportedError, WouldDeadlockError,
)  # fmt: skip
from .events import (
    AudioEvent, AudioLevel, ConnectionQualityChanged, Counts, CustomEvent, DataEvent, DominantSpeaker, Dtmf, Ended,
    ErrorEvent, Event, IceServerEvent, Joined, LocalTrackEvent, LocalTrackFailed, LocalTrackPublished, Lost, MediaEvent,
    ParticipantEvent, ParticipantJoined, ParticipantLeft, ParticipantUpdated, Pins, Reconnected, RightsChanged,
    RoomEvent, RpcRequest, RpcResponse, StateChanged, SubscriptionPermission, TextEvent, TextPart, TokenNeeded,
    TrackEvent, TrackPublished, TrackUnpublished, UnknownEvent, UnplayableEvent, Unsent,
)  # fmt: skip
from .log import LogHandler, set_log
from .options import (
    AccessTokenOptions, AudioTrackOptions, CallOptions, ClientOptions, DataOptions, Limits, RemoteTrackOptions,
)  # fmt: skip
from .participants import Participant, Pin, TrackInfo
from .stats import (
    RemoteTrackStats, Stats, TrackStats, create_access_token, report_network, result_message, result_name, set_limits,
    shutdown, state_name,
)  # fmt: skip

__version__ = "0.1.0"

__all__ = [
    "ABI_VERSION", "AbiError", "AccessTokenOptions", "ArgumentError", "AudioEvent", "AudioFormat", "AudioFrame",
    "AudioHandler", "AudioLevel", "AudioTrackOptions", "AuthError", "BufferTooSmallError", "Call",
    "CallCancelledError", "CallOptions", "CallState", "Capability", "Cleared", "Client", "ClientOptions",
    "ClosedError", "ConnectionQuality", "ConnectionQualityChanged", "Counts", "CustomEvent", "DataEvent",
    "DataOptions", "Diagnosis", "Direction", "DominantSpeaker", "Dtmf", "EmptyError", "EndReason", "Ended", "Error", "ErrorEvent",
    "Event", "EventHandler", "EventKind", "FOREVER", "ForkedError", "FullError", "HandleError", "IceServer", "IceServerEvent",
    "InsecureError", "InternalError", "IpFamily", "Joined", "Joining", "LeaveReason", "LimitError", "Limits", "LocalTrackEvent",
    "LocalTrackFailed", "LocalTrackPublished", "LogHandler", "LogLevel", "Lost", "MediaError", "MediaEvent",
    "NetworkChange", "NetworkError", "Participant", "ParticipantEvent", "ParticipantJoined", "ParticipantKind",
    "ParticipantLeft", "ParticipantUpdated", "Pin", "Pins", "Protocol", "ProtocolError", "Publisher", "ReconnectKind",
    "Reconnected", "RefusedError", "RemoteTrackOptions", "RemoteTrackStats", "Result", "Right", "RightsChanged",
    "RoomEvent", "RpcError", "RpcErrorCode", "RpcRequest", "RpcResponse", "Samples", "StateChanged", "StateError",
    "Stats", "Subscriber", "SubscriptionPermission", "TextEvent", "TextPart", "TimedOutError", "TlsError",
    "TokenHandler", "TokenNeeded", "Track", "TrackEvent", "TrackInfo", "TrackPublished", "TrackSource", "TrackStats",
    "TrackUnpublished", "UnknownEvent", "UnplayableEvent", "UnplayableReason", "UnpublishCause", "Unsent",
    "UnsupportedError", "VideoLayer", "WouldDeadlockError", "abi_version", "blocking", "create_access_token", "diagnose",
    "library_path", "report_network", "result_message", "result_name", "set_limits", "set_log", "shutdown",
    "state_name", "version", "version_number",
]  # fmt: skip
