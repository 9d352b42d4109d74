"""_backlog.py: a bounded queue between a call and its reader in the loop; what does not fit is dropped and counted.

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
    long as all of them together weigh no more than `most`. `lost(before, item)` makes the item that reports a dropped one
    and those before it.
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
        self._unreported: V | None = None
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
        """Takes the item if there is room or it is essential. What was dropped is reported before the next item."""
        weight = self._weigh(item)
        kept = weight and self.weight + weight <= self.most
        if len(self.queue) >= self._limit and not essential and not kept:
            self.dropped += 1
            if self._lost is not None:
                self._unreported = self._lost(self._unreported, item)
            return
        self._report()
        self.weight += weight
        self.queue.append(item)
        self._wake()

    def take(self) -> V:
        """The oldest item. What was dropped after the last item is reported after it."""
        item = self.queue.popleft()
        self.weight -= self._weigh(item)
        if not self.queue:
            self._report()
        return item

    def _report(self) -> None:
        if self._unreported is not None:
            self.queue.append(self._unreported)
            self._unreported = None

    async def something(self) -> bool:
        """Waits until there is an item; False when no more items come. One reader at a time."""
        while not self.queue:
            if self._finished:
                return False
            if self._waiter is not None:
                raise StateError("another task is reading already")
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    def finish(self) -> None:
        """No more items come; those in the queue can still be taken."""
        self._finished = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
