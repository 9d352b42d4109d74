"""_diagnose.py: why a call does not connect (oh_diagnose), for asyncio and for threads."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from ._native import check, ffi, known, lib, text
from .options import ClientOptions, Filled

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server (oh_ice_server)."""

    url: str  #: for instance "turn:turn.example.com:3478?transport=tcp"
    username: Optional[str] = None  #: required for TURN
    password: Optional[str] = None  #: required for TURN; never part of a report

    def __repr__(self) -> str:
        return f"IceServer({self.url!r})"


@dataclass(frozen=True)
class Diagnosis:
    """The result of a diagnosis (oh_diagnosis)."""

    text: str  #: the report for people
    report_json: str  #: the report for programs
    steps_failed: int  #: steps that failed
    steps_warning: int  #: steps with a warning
    incomplete: bool  #: the time was over, or the library shut down, before all steps were taken

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return self.steps_failed == 0 and not self.incomplete


_handlers: dict[int, Callable[[Diagnosis], None]] = {}
_numbers = itertools.count(1)


def _diagnosed(user_data: Any, raw: Any) -> None:
    handler = _handlers.get(int(ffi.cast("uintptr_t", user_data)))
    if handler is None:
        return
    try:
        c = known(raw)
        handler(
            Diagnosis(text(c.text), text(c.report_json), int(c.steps_failed), int(c.steps_warning), bool(c.incomplete))
        )
    except BaseException as error:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
        )


def _destroy(user_data: Any) -> None:
    _handlers.pop(int(ffi.cast("uintptr_t", user_data)), None)


_diagnosed_callback = ffi.callback("oh_diagnosis_handler", _diagnosed)
_destroy_callback = ffi.callback("oh_destroy", _destroy)


def begin(
    handler: Callable[[Diagnosis], None],
    url: str,
    call_id: Optional[str],
    call_type: Optional[str],
    ice_servers: Sequence[IceServer],
    timeout_ms: int,
    client: ClientOptions,
) -> None:
    """Starts a diagnosis; the handler is called once, on a thread of the library."""
    filled = Filled("oh_client_options", client, url=url)
    options = Filled("oh_diagnose_options", {}, call_id=call_id, call_type=call_type, timeout_ms=timeout_ms)
    servers = [
        Filled("oh_ice_server", {}, url=server.url, username=server.username, password=server.password)
        for server in ice_servers
    ]
    pointers = ffi.new("oh_ice_server *[]", [server.pointer for server in servers])
    options.pointer.client = filled.pointer
    options.pointer.ice_servers = pointers if servers else ffi.NULL
    options.pointer.ice_server_count = len(servers)
    number = next(_numbers)
    _handlers[number] = handler
    try:
        check(lib.oh_diagnose(options.pointer, _diagnosed_callback, ffi.cast("void *", number), _destroy_callback))
    except BaseException:
        _handlers.pop(number, None)
        raise


async def diagnose(
    url: str,
    *,
    call_id: Optional[str] = None,
    call_type: Optional[str] = None,
    ice_servers: Sequence[IceServer] = (),
    timeout_ms: int = 0,
    **client: Unpack[ClientOptions],
) -> Diagnosis:
    """Finds out why a call does not connect, step by step; what is wrong is in the report and raises nothing.

    With a token and a `call_id` that call is joined for a moment, without audio. `timeout_ms` is the longest time for
    everything, 100 to 600000; default: 20000. `client` are the options of Client. When it is cancelled, the diagnosis
    ends by itself.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Diagnosis] = loop.create_future()

    def finish(diagnosis: Diagnosis) -> None:
        if not future.done():
            future.set_result(diagnosis)

    def handler(diagnosis: Diagnosis) -> None:
        try:
            loop.call_soon_threadsafe(finish, diagnosis)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    begin(handler, url, call_id, call_type, ice_servers, timeout_ms, client)
    return await future


def diagnose_wait(
    url: str,
    *,
    call_id: Optional[str] = None,
    call_type: Optional[str] = None,
    ice_servers: Sequence[IceServer] = (),
    timeout_ms: int = 0,
    **client: Unpack[ClientOptions],
) -> Diagnosis:
    """As offhook.diagnose, for threads: waits for the result."""
    found: list[Diagnosis] = []
    done = threading.Event()

    def handler(diagnosis: Diagnosis) -> None:
        found.append(diagnosis)
        done.set()

    begin(handler, url, call_id, call_type, ice_servers, timeout_ms, client)
    done.wait()
    return found[0]
