"""test_header.py: the package against offhook.h: every constant, every option, every figure."""

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
    "oh_state": (offhook.State, "OH_STATE_", ""),
    "oh_end_reason": (offhook.EndReason, "OH_END_", ""),
    "oh_event_kind": (offhook.EventKind, "OH_EVENT_", ""),
    "oh_audio_format": (offhook.AudioFormat, "OH_AUDIO_", ""),
    "oh_track_kind": (offhook.TrackKind, "OH_TRACK_", ""),
    "oh_log_level": (offhook.LogLevel, "OH_LOG_", ""),
    "oh_reconnect": (offhook.ReconnectKind, "OH_RECONNECT_", ""),
    "oh_network": (offhook.Network, "OH_NETWORK_", ""),
    "oh_protocol": (offhook.Protocol, "OH_PROTOCOL_", ""),
    "oh_capability": (offhook.Capability, "OH_CAP_", ""),
    "oh_layer": (offhook.Layer, "OH_LAYER_", ""),
    "oh_rpc_error": (offhook.RpcErrorCode, "OH_RPC_", ""),
    "oh_participant_kind": (offhook.ParticipantKind, "OH_PARTICIPANT_", ""),
    "oh_leave_reason": (offhook.LeaveReason, "OH_LEAVE_", ""),
    "oh_right": (offhook.Right, "OH_RIGHT_", ""),
    "oh_direction": (offhook.Direction, "OH_DIRECTION_", ""),
    "oh_unplayable": (offhook.UnplayableReason, "OH_UNPLAYABLE_", ""),
}


def of_header(name):
    """The constants of one enumeration, from the text itself."""
    body = HEADER[HEADER.index(f"enum {name}\n") :]
    body = body[: body.index("\n};")]
    return {k: int(v) for k, v in re.findall(r"^    (OH_\w+) = (-?\d+),", body, re.M)}


@deadline(10)
def test_constants():
    """Each constant has the header's value, and no enumeration is forgotten."""
    assert set(re.findall(r"^enum (oh_\w+)$", HEADER, re.M)) == set(ENUMS)
    for name, (kind, prefix, cut) in ENUMS.items():
        wanted = {k[len(prefix) :].replace(cut, "", 1) if cut else k[len(prefix) :]: v for k, v in of_header(name).items()}
        assert {m.name: int(m) for m in kind} == wanted, name
    assert offhook.FOREVER == 2**32 - 1 and re.search(r"#define OH_FOREVER UINT32_MAX", HEADER)
    assert offhook.NO_DRAIN == 2**32 - 1 and re.search(r"#define OH_NO_DRAIN UINT32_MAX", HEADER)
    assert f"#define OH_ABI_VERSION {offhook.ABI_VERSION}\n" in HEADER and offhook.abi_version() == offhook.ABI_VERSION


@deadline(10)
def test_options_and_figures():
    """Each member of an options structure is an option; each figure is in Stats; a wrong one is refused."""
    own = {
        "oh_client_options": {"url"}, "oh_call_options": {"id", "handlers"}, "oh_data_options": {"to_count"},
        "oh_access_token_options": {"api_key", "api_secret", "user_id", "call_id"},
    }  # fmt: skip
    for name, (_, known) in options._SPECS.items():
        if known is not None:
            members = {n for n, _ in ffi.typeof(name).fields} - {"size", "reserved", "reserved2"}
            assert set(known.__annotations__) == members - own.get(name, set()), name
    members = {n for n, _ in ffi.typeof("oh_call_stats").fields} - {"size", "reserved"}
    assert set(stats._NAMES) == members
    for wrong in ({"fps": -1}, {"fps": "fast"}, {"layer": 1.5}):
        with pytest.raises(offhook.ArgumentError, match="option"):
            options.Filled("oh_remote_track_options", wrong)
    with pytest.raises(offhook.ArgumentError, match="NUL"):
        options.Filled("oh_client_options", {"user_id": "a\0b"})
    holds = options.Filled("oh_data_options", {"to": ["ann", "bén"], "topic": "t", "lossy": True})
    filled = holds.pointer
    assert filled.to_count == 2 and ffi.string(filled.to[1]).decode() == "bén" and filled.lossy == 1
    track = options.Filled("oh_audio_track_options", {})
    assert track.pointer.complexity == -1 and track.pointer.size == ffi.sizeof("oh_audio_track_options")  # of _init


@deadline(10)
def test_errors():
    """One class for each result, found by its number; unknown numbers are no accident."""
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
    assert offhook.EndReason(99).name == "UNKNOWN_99" and offhook.State(99) == 99
    with pytest.raises(ValueError):
        offhook.State("joined")
    assert offhook.state_name(2) == "joined" and offhook.state_name(99) == "unknown"
    assert issubclass(offhook.TimedOutError, TimeoutError) and issubclass(offhook.ArgumentError, ValueError)


@deadline(10)
def test_events_of_every_kind():
    """Every kind of event becomes its own class with the members' values, and a later kind an UnknownEvent."""
    from offhook.events import event_of

    raw = ffi.new("oh_event *")
    raw.at_ms = 7
    kept = ffi.new("char[]", b"b\xc3\xa9n")
    seen = {}
    for kind in offhook.EventKind:
        ffi.memmove(ffi.addressof(raw.u), b"\0" * ffi.sizeof("oh_event_data"), ffi.sizeof("oh_event_data"))
        raw.kind = kind
        event = event_of(raw)
        assert event.at_ms == 7 and event.kind == kind
        seen[kind] = type(event)
    assert len(set(seen.values())) == len(offhook.EventKind)
    raw.kind = offhook.EventKind.RPC_RESPONSE
    raw.u.rpc.call_id, raw.u.rpc.error_code, raw.u.rpc.text = 2**63, 1500, kept
    assert event_of(raw) == offhook.RpcResponse(7, 2**63, "", "bén", offhook.RpcErrorCode.APPLICATION)
    pins = ffi.new("oh_pin[]", [{"user_id": kept, "session_id": kept}])
    raw.kind, raw.u.pins.pins, raw.u.pins.count = offhook.EventKind.PINS, pins, 1
    assert event_of(raw).pins == (offhook.Pin("bén", "bén"),)
    data = ffi.new("uint8_t[]", b"\0\1")
    raw.kind = offhook.EventKind.DATA
    raw.u.data.user_id = raw.u.data.session_id = raw.u.data.topic = kept
    raw.u.data.bytes, raw.u.data.size, raw.u.data.lossy = data, 2, 1
    assert event_of(raw) == offhook.DataEvent(7, "bén", "bén", "bén", b"\0\1", True)
    # Each flag and number where it belongs: all members are different.
    raw.kind, p = offhook.EventKind.PARTICIPANT_LEFT, raw.u.participant
    p.user_id = p.session_id = p.name = p.image = p.custom = p.metadata = p.attributes = kept
    p.kind, p.local, p.reason, p.rights, p.quality = 4, 1, 16, 129, 2
    left = event_of(raw)
    assert left.participant_kind == offhook.ParticipantKind.AGENT and left.local and left.quality == 2
    assert left.reason == offhook.LeaveReason.AGENT_ERROR and left.rights == offhook.Right.AUDIO | offhook.Right.RECORDER
    raw.kind, t = offhook.EventKind.TRACK_PUBLISHED, raw.u.track
    for flag in ("muted", "local", "held", "encrypted"):
        ffi.memmove(ffi.addressof(raw.u), b"\0" * ffi.sizeof("oh_event_data"), ffi.sizeof("oh_event_data"))
        setattr(t, flag, 1)
        track = event_of(raw)
        assert [n for n in ("muted", "local", "held", "encrypted") if getattr(track, n)] == [flag]
    raw.kind, rights = offhook.EventKind.GRANTS, [n for n, _ in ffi.typeof("oh_event_grants").fields]
    for flag in rights:
        ffi.memmove(ffi.addressof(raw.u), b"\0" * ffi.sizeof("oh_event_data"), ffi.sizeof("oh_event_data"))
        setattr(raw.u.grants, flag, 1)
        assert [n for n in rights if getattr(event_of(raw), n)] == [flag]
    raw.kind = offhook.EventKind.LOST
    raw.u.lost.count, raw.u.lost.data_packets, raw.u.lost.data_bytes, raw.u.lost.texts = 9, 5, 700, 2
    assert event_of(raw) == offhook.Lost(7, 9, 5, 700, 2)
    raw.kind, t = offhook.EventKind.TEXT, raw.u.text
    t.user_id = t.session_id = t.topic = t.id = t.text = t.attributes = kept
    assert event_of(raw) == offhook.TextEvent(7, "bén", "bén", "bén", "bén", "bén", "bén")
    raw.kind, m = offhook.EventKind.MEDIA, raw.u.media
    m.direction, m.connected, m.text = 2, 1, kept
    assert event_of(raw) == offhook.MediaEvent(7, offhook.Direction.RECEIVE, True, "bén")
    raw.kind, s = offhook.EventKind.UNSENT, raw.u.unsent
    s.audio_ms, s.data_packets, s.texts, s.custom_events, s.rpc_answers, s.bytes = 1, 2, 3, 4, 5, 6
    assert event_of(raw) == offhook.Unsent(7, 1, 2, 3, 4, 5, 6)
    raw.kind, u = offhook.EventKind.UNPLAYABLE, raw.u.unplayable
    u.user_id = u.session_id = u.track_id = u.text = kept
    u.kind, u.reason = 1, 5
    odd = event_of(raw)
    assert (odd.text, odd.track_kind, odd.reason) == ("bén", 1, offhook.UnplayableReason.DATA_ENCRYPTED)
    raw.kind, part = offhook.EventKind.TEXT_PART, raw.u.text_part
    part.user_id = part.session_id = part.topic = part.id = part.attributes = part.text = kept
    part.offset = 12
    assert event_of(raw) == offhook.TextPart(7, "bén", "bén", "bén", "bén", "bén", "bén", 12)
    raw.kind, key = offhook.EventKind.DTMF, raw.u.dtmf
    key.user_id = key.session_id = key.digit = kept
    key.code = 11
    assert event_of(raw) == offhook.Dtmf(7, "bén", "bén", "bén", 11)
    raw.kind = 4711
    assert event_of(raw) == offhook.UnknownEvent(7, 4711)


@deadline(10)
def test_tools():
    """Access tokens, the network, and what they refuse."""
    token = offhook.access_token(
        "key", "secret" * 8, "ann", "room", ttl_s=60, attributes_json={"a": "x" * 4000}, hidden=True
    )
    assert token.count(".") == 2 and len(token) > 4000
    with pytest.raises(offhook.ArgumentError, match="api_key"):
        offhook.access_token("", "secret", "ann", "room")
    offhook.network_changed(offhook.Network.ONLINE)
    with pytest.raises(offhook.ArgumentError):
        offhook.network_changed(99)  # type: ignore[arg-type]
    assert re.fullmatch(r"\d+\.\d+\.\d+", offhook.version())
