"""_backlog.py: a bounded queue between a call and who reads it in the loop; what does not fit is counted.

Only the loop's thread uses it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Generic, TypeVar

from .errors import StateError

V = TypeVar("V")


class Backlog(Generic[V]):
    """`newest` keeps the newest when it is full, `offer` the oldest."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self.queue: deque[V] = deque()
        self.dropped = 0
        self._limit = limit
        self._loop = loop
        self._untold = 0
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def newest(self, item: V) -> None:
        """Takes the item; the oldest goes when there are too many."""
        if len(self.queue) >= self._limit:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(item)
        self._wake()

    def offer(self, item: V, *, essential: bool, lost: Callable[[int], V]) -> None:
        """Takes the item if there is room or it is essential; before the next one that is taken, lost(n) is."""
        if len(self.queue) >= self._limit and not essential:
            self.dropped += 1
            self._untold += 1
            return
        if self._untold:
            self.queue.append(lost(self._untold))
            self._untold = 0
        self.queue.append(item)
        self._wake()

    def take(self, lost: Callable[[int], V] | None = None) -> V:
        """The oldest; what was dropped since the last item that fitted is told at the end."""
        item = self.queue.popleft()
        if not self.queue and self._untold and lost is not None:
            self.queue.append(lost(self._untold))
            self._untold = 0
        return item

    async def something(self) -> bool:
        """Waits until there is something to take; False when nothing comes any more. One waits at a time."""
        while not self.queue:
            if self._finished:
                return False
            if self._waiter is not None:
                raise StateError("another task is reading this already")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    def finish(self) -> None:
        """Nothing comes any more; what is there may still be taken."""
        self._finished = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
