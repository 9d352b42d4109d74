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
    """`newest` keeps the newest when it is full, `offer` the oldest.

    `weigh` gives the bytes of an item that should not be dropped, 0 of others: such items are taken beyond the limit, as
    long as all of them together weigh no more than `most`. `lost(before, item)` makes the item that tells of a dropped one,
    and of those before it.
    """

    def __init__(
        self,
        limit: int,
        loop: asyncio.AbstractEventLoop,
        *,
        weigh: Callable[[V], int] = lambda item: 0,
        most: int = 0,
        lost: Callable[[V | None, V], V] | None = None,
    ) -> None:
        self.queue: deque[V] = deque()
        self.dropped = 0
        self.weight = 0
        self.most = most
        self._limit = limit
        self._loop = loop
        self._weigh = weigh
        self._lost = lost
        self._untold: V | None = None
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None

    def newest(self, item: V) -> None:
        """Takes the item; the oldest goes when there are too many."""
        if len(self.queue) >= self._limit:
            self.queue.popleft()
            self.dropped += 1
        self.queue.append(item)
        self._wake()

    def offer(self, item: V, *, essential: bool) -> None:
        """Takes the item if there is room or it is essential; before the next one that is taken, it is told what was lost."""
        weight = self._weigh(item)
        kept = weight and self.weight + weight <= self.most
        if len(self.queue) >= self._limit and not essential and not kept:
            self.dropped += 1
            if self._lost is not None:
                self._untold = self._lost(self._untold, item)
            return
        self._tell()
        self.weight += weight
        self.queue.append(item)
        self._wake()

    def take(self) -> V:
        """The oldest; what was dropped since the last item that fitted is told at the end."""
        item = self.queue.popleft()
        self.weight -= self._weigh(item)
        if not self.queue:
            self._tell()
        return item

    def _tell(self) -> None:
        if self._untold is not None:
            self.queue.append(self._untold)
            self._untold = None

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
