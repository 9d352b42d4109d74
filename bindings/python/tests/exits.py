"""exits.py WAY: a short-lived interpreter that ends while its calls run and audio arrives; for test_exits.py.

It prints "ready" when it receives its own audio, and ends in the given way. Two calls of one process send audio
to each other.
"""

import asyncio
import os
import signal
import sys
import threading
import time

import numpy as np
import offhook
from offhook import blocking

URL = os.environ["OFFHOOK_SFU_URL"]
NAMES = [f"exit-{os.getpid()}-{n}" for n in "ab"]
ROOM = f"exit-{os.getpid()}"
SAMPLES = np.tile((9000 * np.sin(np.arange(9600) * 2 * np.pi * 440 / 48000)).astype(np.int16), 5)
keep = []  # kept until the end


def ready():
    print("ready", flush=True)


async def two():
    """Two asyncio calls that receive each other's audio; returns when the second does."""
    clients = [offhook.Client(URL, user_id=name, token="t") for name in NAMES]
    first, second = [await c.join(ROOM, max_queued_events=64) for c in clients]
    track = first.publish_audio(no_dtx=True)
    keep.extend([clients, first, second, track, asyncio.ensure_future(track.write(np.tile(SAMPLES, 60)))])
    received = 0
    async for frame in second.audio():
        received += not frame.silence
        if received >= 3:
            break
    ready()
    return second


async def live_on(call):
    async for frame in call.audio():
        pass


async def way_normal():
    await two()


async def way_sysexit():
    await two()
    sys.exit(7)


async def way_raise():
    await two()
    raise RuntimeError("as expected")


async def way_task():
    keep.append(asyncio.ensure_future(live_on(await two())))  # a task that is running


async def way_sigterm():
    call = await two()
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
    await live_on(call)


async def way_sigint():
    call = await two()
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
    await live_on(call)


async def way_joining():
    """During a join."""
    client = offhook.Client(URL, user_id=NAMES[0], token="t")
    keep.extend([client, client.join_nowait(ROOM)])
    ready()


async def way_os_exit():
    await two()
    os._exit(9)


def joined_blocking(**second):
    """The same without asyncio."""
    clients = [blocking.Client(URL, user_id=name, token="t") for name in NAMES]
    first = clients[0].join(ROOM, on_event=lambda call, event: None)
    call = clients[1].join(ROOM, **second)
    track = first.publish_audio(no_dtx=True)
    keep.extend([clients, first, call, track])
    for _ in range(2):
        threading.Thread(target=write_audio, args=(track,), daemon=True).start()
    return call


def write_audio(track):
    while True:
        try:
            track.write(SAMPLES)
        except offhook.FullError:
            pass


def way_daemons():
    """Daemon threads that read and write."""
    received = threading.Event()

    def pull(call):
        while True:
            if isinstance(call.wait_event(), offhook.AudioEvent):
                received.set()

    threading.excepthook = lambda args: None  # the calls end under them
    call = joined_blocking(pull_audio=True)
    threading.Thread(target=pull, args=(call,), daemon=True).start()
    assert received.wait(10)
    ready()


def way_handlers():
    """Handlers run on the library's threads, continuously."""
    received = threading.Event()
    threading.excepthook = lambda args: None

    def audio(call, frame):
        sum(range(2000))
        received.set()

    joined_blocking(on_audio=audio, on_event=lambda call, event: None)
    assert received.wait(10)
    ready()


def way_in_handler():
    """A handler is running: the exit waits for it."""
    inside = threading.Event()
    threading.excepthook = lambda args: None

    def audio(call, frame):
        inside.set()
        time.sleep(0.05)

    joined_blocking(on_audio=audio)
    assert inside.wait(10)
    ready()
    sys.exit(7)


def way_log():
    """The log, at its most detailed level, until the end."""
    offhook.set_log(lambda level, text: keep.append(text), offhook.LogLevel.TRACE)
    way_handlers()


def main():
    way = globals()["way_" + sys.argv[1]]
    if asyncio.iscoroutinefunction(way):
        asyncio.run(way())
    else:
        way()


main()
