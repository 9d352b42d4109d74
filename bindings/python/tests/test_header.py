"""test_header.py: the package against offhook.h: every constant, option, statistic and event, of every size."""

import ctypes
import mmap
import os
import re
from pathlib import Path

import offhook
import pytest
from offhook import _native, options, stats
from offhook._binding import ffi
from support import deadline

HEADER = Path(os.environ["OFFHOOK_STAGE"], "include", "offhook.h").read_text()

ENUMS = {
    "oh_result": (offhook.Result, "OH_", "ERR_"),
    "oh_call_state": (offhook.CallState, "OH_STATE_", ""),
    "oh_end_reason": (offhook.EndReason, "OH_END_", ""),
    "oh_event_kind": (offhook.EventKind, "OH_EVENT_", ""),
    "oh_audio_format": (offhook.AudioFormat, "OH_AUDIO_", ""),
    "oh_track_source": (offhook.TrackSource, "OH_SOURCE_", ""),
    "oh_unpublish_cause": (offhook.UnpublishCause, "OH_UNPUBLISH_", ""),
    "oh_log_level": (offhook.LogLevel, "OH_LOG_", ""),
    "oh_reconnect_kind": (offhook.ReconnectKind, "OH_RECONNECT_", ""),
    "oh_network_change": (offhook.NetworkChange, "OH_NETWORK_", ""),
    "oh_protocol": (offhook.Protocol, "OH_PROTOCOL_", ""),
    "oh_capability": (offhook.Capability, "OH_CAP_", ""),
    "oh_video_layer": (offhook.VideoLayer, "OH_LAYER_", ""),
    "oh_rpc_error": (offhook.RpcErrorCode, "OH_RPC_", ""),
    "oh_participant_kind": (offhook.ParticipantKind, "OH_PARTICIPANT_", ""),
    "oh_connection_quality": (offhook.ConnectionQuality, "OH_QUALITY_", ""),
    "oh_leave_reason": (offhook.LeaveReason, "OH_LEAVE_", ""),
    "oh_right": (offhook.Right, "OH_RIGHT_", ""),
    "oh_direction": (offhook.Direction, "OH_DIRECTION_", ""),
    "oh_unplayable_reason": (offhook.UnplayableReason, "OH_UNPLAYABLE_", ""),
    "oh_ip_family": (offhook.IpFamily, "OH_IP_", ""),
}


def of_header(name):
    """The constants of one enumeration, parsed from the header."""
    body = HEADER[HEADER.index(f"OH_ENUM({name}) {{\n") :]
    body = body[: body.index("\n};")]
    return {k: int(v) for k, v in re.findall(r"^    (OH_\w+) = (-?\d+),", body, re.M)}


@deadline(10)
def test_constants():
    """Each constant has the header's value, and no enumeration is missing."""
    assert set(re.findall(r"^OH_ENUM\((oh_\w+)\) \{$", HEADER, re.M)) == set(ENUMS)
    for name, (kind, prefix, cut) in ENUMS.items():
        wanted = {k[len(prefix) :].replace(cut, "", 1) if cut else k[len(prefix) :]: v for k, v in of_header(name).items()}
        assert {m.name: int(m) for m in kind} == wanted, name
    assert offhook.FOREVER == 2**32 - 1 and re.search(r"#define OH_FOREVER UINT32_MAX", HEADER)
    assert options._OH_ZERO == 2**32 - 2 and re.search(r"#define OH_ZERO \(UINT32_MAX - 1\)", HEADER)
    assert f"#define OH_ABI_VERSION {offhook.ABI_VERSION}\n" in HEADER and offhook.abi_version() == offhook.ABI_VERSION


@deadline(10)
def test_options():
    """Each member of an options structure is an option; each statistic is in Stats; a wrong one is refused."""
    own = {
        "oh_client_options": {"url"}, "oh_call_options": {"call_id", "handlers"}, "oh_data_options": {"to_count"},
        "oh_access_token_options": {"api_key", "api_secret", "user_id", "call_id"},
    }  # fmt: skip
    for name, known in options._KNOWN.items():
        members = {n for n, _ in ffi.typeof(name).fields} - {"size", "reserved"}
        assert set(known.__annotations__) == members - own.get(name, set()), name
    for kind, name in stats._STRUCTURES.items():
        assert set(stats._NAMES[kind]) == {n for n, _ in ffi.typeof(name).fields} - {"size", "reserved"}, name
    for wrong in ({"max_fps": -1}, {"max_fps": "fast"}, {"layer": 1.5}):
        with pytest.raises(offhook.ArgumentError, match="option"):
            options.Filled("oh_remote_track_options", wrong)
    with pytest.raises(offhook.ArgumentError, match="NUL"):
        options.Filled("oh_client_options", {"user_id": "a\0b"})
    holds = options.Filled("oh_data_options", {"to": ["ann", "bén"], "topic": "t", "lossy": True})
    filled = holds.pointer
    assert filled.to_count == 2 and ffi.string(filled.to[1]).decode() == "bén" and filled.lossy == 1
    # The size is the header's, omitted members are zero, and 0 is OH_ZERO where zero is a separate value.
    for name in options._KNOWN:
        made = options.Filled(name, {}).pointer
        assert made.size == ffi.sizeof(name) and bytes(ffi.buffer(made))[ffi.sizeof("size_t") :].strip(b"\0") == b""
    for names in (["eth0", "wl*", "!docker*"], "eth0,wl*,!docker*"):
        net = options.Filled("oh_client_options", {"interfaces": names, "ip_family": offhook.IpFamily.V6, "dscp": 46})
        assert ffi.string(net.pointer.interfaces) == b"eth0,wl*,!docker*"
        assert (net.pointer.ip_family, net.pointer.dscp) == (2, 46)
    track = options.Filled("oh_audio_track_options", {"complexity": 0, "red_frames": 0, "bitrate_bps": 0, "muted": False})
    assert track.pointer.complexity == track.pointer.red_frames == 2**32 - 2
    assert track.pointer.bitrate_bps == track.pointer.muted == 0
    described = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s*\w+ (\w+);", HEADER, re.S)
    assert {name for words, name in described if "OH_ZERO" in words} == options._ZERO_IS_A_VALUE


@deadline(10)
def test_errors():
    """One class for each result, found by its number; unknown numbers are accepted."""
    for result in offhook.Result:
        if result == offhook.Result.OK:
            continue
        error = offhook.errors.error_for(result, "words", 5)
        assert type(error) is not offhook.Error and error.code == result and error.server_code == 5
        name = "OH_ERR_" + result.name
        assert str(error) == f"words ({name})"
        assert offhook.result_name(result) == name and offhook.result_message(result)
        with pytest.raises(type(error)):
            _native.check(result)
    assert offhook.errors.error_for(-4711).code == -4711
    assert offhook.EndReason(99).name == "UNKNOWN_99" and offhook.CallState(99) == 99
    with pytest.raises(ValueError):
        offhook.CallState("joined")
    assert offhook.state_name(2) == "joined" and offhook.state_name(99) == "unknown"
    assert issubclass(offhook.TimedOutError, TimeoutError) and issubclass(offhook.ArgumentError, ValueError)


def payload(structure, /, **members):
    """A structure of the library with these members and its size."""
    made = ffi.new(structure + " *", members)
    made.size = ffi.sizeof(structure)
    return made


def event(kind, member, structure, /, **members):
    """Converts an event with a payload; text members are "bén" unless they are given."""
    from offhook.events import event_of

    texts = [n for n, f in ffi.typeof(structure).fields if f.type.cname == "char *"]
    made = payload(structure, **{n: BEN for n in texts if n not in members}, **members)
    raw = payload("oh_event", kind=kind, at_ms=7, u={member: made})
    return event_of(raw)


BEN = ffi.new("char[]", "bén".encode())
MEMBERS = {n: f.type.item.cname for n, f in ffi.typeof("oh_event_payload").fields if n != "other"}


@deadline(10)
def test_events_of_every_kind():
    """Every kind of event becomes its own class with the members' values, and a later kind an UnknownEvent."""
    from offhook.events import _READ, event_of

    kinds, seen = offhook.EventKind, {}
    assert set(_READ) == set(kinds) and {m for m, _ in _READ.values() if m} == set(MEMBERS)
    for kind in kinds:  # the header names the member of each kind
        words = re.search(rf"/\*\*((?:(?!\*/).)*)\*/\s*OH_EVENT_{kind.name} = ", HEADER, re.S)[1]
        named = re.search(r"`(\w+)`: ", words)
        assert _READ[kind][0] == (named and named[1]), kind
        made = payload(MEMBERS[named[1]]) if named else None
        raw = payload("oh_event", kind=kind, at_ms=7)
        if made is not None:
            setattr(raw.u, named[1], made)
        seen[kind] = event_of(raw)
        assert seen[kind].at_ms == 7 and seen[kind].kind == kind and seen[kind].kind_name == kind.name.lower()
    assert len({type(e) for e in seen.values()}) == len(kinds)
    raw = payload("oh_event", kind=4711, at_ms=7)
    assert event_of(raw) == offhook.UnknownEvent(7, 4711)

    # Each value in its field: all values of an event are different.
    assert event(kinds.STATE, "state", "oh_event_state", state=2, previous=1) == offhook.StateChanged(
        7, offhook.CallState.JOINED, offhook.CallState.JOINING
    )
    joined = event(kinds.JOINED, "joined", "oh_event_joined", join_ms=2**33, participants=3, anonymous_participants=2)
    assert joined == offhook.Joined(7, "bén", 2**33, 3, 2)
    level = event(kinds.AUDIO_LEVEL, "audio_level", "oh_event_audio_level", level=0.5, speaking=1)
    assert level == offhook.AudioLevel(7, "bén", "bén", 0.5, True)
    quality = event(kinds.CONNECTION_QUALITY, "connection_quality", "oh_event_connection_quality", quality=3)
    assert quality == offhook.ConnectionQualityChanged(7, "bén", "bén", offhook.ConnectionQuality.EXCELLENT)
    counts = event(kinds.COUNTS, "counts", "oh_event_counts", participants=5, anonymous_participants=4)
    assert counts == offhook.Counts(7, 5, 4)
    rights = event(kinds.RIGHTS, "rights", "oh_event_rights", rights=129)
    assert rights == offhook.RightsChanged(7, offhook.Right.AUDIO | offhook.Right.RECORDER)
    failed = event(kinds.LOCAL_TRACK_FAILED, "local_track", "oh_event_local_track", track={"id": 9}, error=-11, server_code=5)
    assert failed == offhook.LocalTrackFailed(7, 9, offhook.Result.REFUSED, 5, "bén")
    assert isinstance(failed.exception(), offhook.RefusedError) and failed.exception().server_code == 5
    error = event(kinds.ERROR, "error", "oh_event_error", error=-9, server_code=500)
    assert error == offhook.ErrorEvent(7, offhook.Result.NETWORK, 500, "bén")
    lost = event(kinds.LOST, "lost", "oh_event_lost", total=9, data_packets=5, data_bytes=700, texts=2)
    assert lost == offhook.Lost(7, 9, 5, 700, 2)
    ended = event(kinds.ENDED, "ended", "oh_event_ended", reason=12, error=-13, server_code=401)
    assert ended == offhook.Ended(7, offhook.EndReason.RECONNECT_REFUSED, offhook.Result.AUTH, 401, "bén")
    back = event(kinds.RECONNECTED, "reconnected", "oh_event_reconnected", elapsed_ms=80, kind=3, attempts=2)
    assert back == offhook.Reconnected(7, "bén", 80, offhook.ReconnectKind.REJOIN, 2)
    room = event(kinds.ROOM, "room", "oh_event_room", recording=1)
    assert room == offhook.RoomEvent(7, "bén", "bén", "bén", True)
    packet = ffi.new("uint8_t[]", b"\0\1")
    data = event(kinds.DATA, "data", "oh_event_data", data=packet, data_size=2, lossy=1)
    assert data == offhook.DataEvent(7, "bén", "bén", "bén", b"\0\1", True)
    assert event(kinds.TEXT, "text", "oh_event_text") == offhook.TextEvent(7, *["bén"] * 6)
    part = event(kinds.TEXT_PART, "text_part", "oh_event_text_part", offset_bytes=12)
    assert part == offhook.TextPart(7, *["bén"] * 6, 12)
    request = event(kinds.RPC_REQUEST, "rpc_request", "oh_event_rpc_request", timeout_ms=5000)
    assert request == offhook.RpcRequest(7, *["bén"] * 4, 5000)
    response = event(kinds.RPC_RESPONSE, "rpc_response", "oh_event_rpc_response", rpc_id=2**63, error_code=1500)
    assert response == offhook.RpcResponse(7, 2**63, "bén", "bén", offhook.RpcErrorCode.APPLICATION)
    media = event(kinds.MEDIA, "media", "oh_event_media", direction=2, connected=1)
    assert media == offhook.MediaEvent(7, offhook.Direction.RECEIVE, True, "bén")
    numbers = {"audio_ms": 1, "data_packets": 2, "texts": 3, "custom_events": 4, "rpc_answers": 5, "bytes": 6}
    assert event(kinds.UNSENT, "unsent", "oh_event_unsent", **numbers) == offhook.Unsent(7, 1, 2, 3, 4, 5, 6)
    odd = event(kinds.UNPLAYABLE, "unplayable", "oh_event_unplayable", source=4, reason=5)
    assert (odd.source, odd.reason) == (offhook.TrackSource.SCREEN_SHARE_AUDIO, offhook.UnplayableReason.DATA_ENCRYPTED)
    assert event(kinds.DTMF, "dtmf", "oh_event_dtmf", code=11) == offhook.Dtmf(7, "bén", "bén", "bén", 11)
    server = event(kinds.ICE_SERVER, "ice_server", "oh_event_ice_server", code=701)
    assert server == offhook.IceServerEvent(7, "bén", 701, "bén")
    allowed = event(kinds.SUBSCRIPTION_PERMISSION, "subscription_permission", "oh_event_subscription_permission", allowed=1)
    assert allowed == offhook.SubscriptionPermission(7, "bén", "bén", "bén", True)
    pins = [payload("oh_pin", user_id=BEN, session_id=BEN) for _ in range(2)]
    pinned = event(kinds.PINS, "pins", "oh_event_pins", pins=ffi.new("oh_pin *[]", pins), pin_count=2)
    assert pinned.pins == (offhook.Pin("bén", "bén"),) * 2


@deadline(10)
def test_participants_and_tracks():
    """A participant with its tracks and rights, and a snapshot; each flag in its field."""
    from offhook.participants import participants_of

    kinds = offhook.EventKind
    flags = ("muted", "local", "held", "encrypted", "received", "published", "moderated")
    members = {"source": 4, "cause": 2, "unplayable": 3, "track": {"id": 2**40}}
    for flag in flags:
        track = event(kinds.TRACK_UNPUBLISHED, "track", "oh_track_info", **members, **{flag: 1}).track
        assert [n for n in flags if getattr(track, n)] == [flag]
    assert (track.unplayable, track.track) == (offhook.UnplayableReason.UNASSIGNED, 2**40)
    assert (track.source, track.cause) == (offhook.TrackSource.SCREEN_SHARE_AUDIO, offhook.UnpublishCause.PERMISSION_REVOKED)
    tracks = [payload("oh_track_info", track_id=BEN, source=n) for n in (1, 2)]
    members = {
        "tracks": ffi.new("oh_track_info *[]", tracks), "track_count": 2, "rights": 129, "rights_known": 1, "kind": 4,
        "quality": 2, "leave_reason": 16, "audio_level": 0.25,
    }  # fmt: skip
    for flag in ("speaking", "dominant", "local"):
        left = event(kinds.PARTICIPANT_LEFT, "participant", "oh_participant", **members, **{flag: 1})
        assert [n for n in ("speaking", "dominant", "local") if getattr(left.participant, n)] == [flag]
    p = left.participant
    assert (left.user_id, p.name, p.image_url, p.custom_json, p.metadata, p.attributes_json) == ("bén",) * 6
    assert (p.kind, p.quality) == (offhook.ParticipantKind.AGENT, offhook.ConnectionQuality.GOOD)
    assert (p.leave_reason, p.audio_level) == (offhook.LeaveReason.AGENT_ERROR, 0.25)
    assert p.rights == offhook.Right.AUDIO | offhook.Right.RECORDER
    assert [(t.track_id, t.source) for t in p.tracks] == [("bén", 1), ("bén", 2)]
    people = [payload("oh_participant", user_id=BEN, local=n) for n in (1, 0)]
    array = ffi.new("oh_participant *[]", people)
    snapshot = participants_of(payload("oh_participants", participants=array, participant_count=2))
    assert [(p.user_id, p.local) for p in snapshot] == [("bén", True), ("bén", False)]
    assert participants_of(payload("oh_participants")) == ()
    unknown = event(kinds.PARTICIPANT_JOINED, "participant", "oh_participant")
    assert unknown.participant.rights is None and unknown.participant.tracks == ()


@deadline(10)
def test_structures_of_other_sizes():
    """Structures of an older library are shorter, and are not read beyond their size. Those of a newer one are longer."""
    from offhook.events import _READ, event_of

    # A structure at the end of readable memory: reading one byte more ends the process.
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ffi.cast("char *", ffi.from_buffer(memory))
    beyond = int(ffi.cast("uintptr_t", start)) + mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(beyond), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0

    def at_the_end(made, size):
        there = start + mmap.PAGESIZE - size
        made.size = size
        ffi.memmove(there, made, size)
        return ffi.cast(ffi.typeof(made), there)

    word = ffi.sizeof("size_t")
    for kind, (member, _) in _READ.items():
        if member is None:
            continue
        name = MEMBERS[member]
        for size in range(word, ffi.sizeof(name) + 1, word):
            made = payload(name)
            raw = payload("oh_event", kind=kind, at_ms=7)
            setattr(raw.u, member, at_the_end(made, size))
            short = event_of(raw)
            assert short.kind == kind
        # The result for all zero is that of a payload with nothing but its size.
        raw = payload("oh_event", kind=kind, at_ms=7)
        setattr(raw.u, member, at_the_end(payload(name), word))
        zero = event_of(raw)
        whole = payload("oh_event", kind=kind, at_ms=7)
        kept = payload(name)
        setattr(whole.u, member, kept)
        if kind != offhook.EventKind.AUDIO:  # frames have an array, which cannot be compared
            assert zero == event_of(whole)
        # A newer library: longer structures, whose additional bytes are ignored.
        longer = ffi.new("char[]", b"\xa5" * (ffi.sizeof(name) + 64))
        ffi.memmove(longer, payload(name), ffi.sizeof(name))
        more = ffi.cast(name + " *", longer)
        more.size = ffi.sizeof(name) + 64
        setattr(whole.u, member, more)
        assert type(event_of(whole)) is type(zero)
    # Elements of arrays have their own sizes.
    pin = payload("oh_pin", user_id=BEN)
    array = ffi.new("oh_pin *[]", [at_the_end(pin, 2 * word)])
    pinned = event(offhook.EventKind.PINS, "pins", "oh_event_pins", pins=array, pin_count=1)
    assert pinned.pins == (offhook.Pin("bén", ""),)
    track = payload("oh_track_info", user_id=BEN)
    array = ffi.new("oh_track_info *[]", [at_the_end(track, 2 * word)])
    joined = event(offhook.EventKind.PARTICIPANT_JOINED, "participant", "oh_participant", tracks=array, track_count=1)
    assert joined.participant.tracks == (offhook.TrackInfo("bén", "", "", "", offhook.TrackSource.UNKNOWN),)


@deadline(10)
def test_tools():
    """Access tokens, network reports, and their errors."""
    token = offhook.create_access_token(
        "key", "secret" * 8, "ann", "room", ttl_s=60, attributes_json={"a": "x" * 4000}, hidden=True
    )
    assert token.count(".") == 2 and len(token) > 4000
    with pytest.raises(offhook.ArgumentError, match="api_key"):
        offhook.create_access_token("", "secret", "ann", "room")
    offhook.report_network(offhook.NetworkChange.ONLINE)
    with pytest.raises(offhook.ArgumentError):
        offhook.report_network(99)  # type: ignore[arg-type]
    assert re.fullmatch(r"\d+\.\d+\.\d+", offhook.version())
    major, minor, patch = map(int, offhook.version().split("."))
    assert offhook.version_number() == major * 1000000 + minor * 1000 + patch
    offhook.set_limits(max_callback_threads=64)
    offhook.set_limits()
    with pytest.raises(offhook.ArgumentError, match="max_callback_threads"):
        offhook.set_limits(max_callback_threads=1)
