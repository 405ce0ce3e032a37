"""Reading ahead and writing behind, so that a model waits for no file; both hold a bounded amount.

The threads run no torch: each would bring its own pool of threads to cores that a model is using.
Decoding, encoding and writing PNGs work without the interpreter's lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")

MOST_THREADS = 8


def file_threads(device: str) -> int:
    """Return how many threads read, and how many write, beside a model on `device`.

    One on a CPU, whose cores are the model's; on a GPU's machine files of many pictures a second
    are packed and unpacked by many.
    """
    if device == "cpu":
        return 1
    return max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))


class ReadAhead(Generic[Item, Read]):
    """Reads the items of the next batch while the present one is in use.

    Iterating yields, for each batch, what `read` made of its items; what `read` raises is raised
    there, in its turn. At most two batches are held.
    """

    def __init__(
        self, read: Callable[[Item], Read], batches: Iterable[Sequence[Item]], threads: int
    ) -> None:
        self._read = read
        self._batches = iter(batches)
        self._pool = ThreadPoolExecutor(threads, "read-ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[Sequence[Item], list[Read]]]:
        following = self._begin()
        while following is not None:
            batch, futures = following
            following = self._begin()
            yield batch, [future.result() for future in futures]

    def _begin(self) -> tuple[Sequence[Item], list[Future[Read]]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        return batch, [self._pool.submit(self._read, item) for item in batch]


class WriteBehind:
    """Does jobs in other threads, begun in the order in which they were given.

    No more than `most_waiting` jobs wait: giving another one then waits too. What a job raises is
    raised at the next call, or on leaving; no job begins after it. Leaving waits for what was
    given, also when something else was raised.
    """

    def __init__(self, threads: int, most_waiting: int) -> None:
        self._pool = ThreadPoolExecutor(threads, "write-behind")
        self._most_waiting = most_waiting
        self._waiting: deque[Future[None]] = deque()
        self._has_failed = False

    def give(self, job: Callable[[], None], after: Sequence[Future[None]] = ()) -> Future[None]:
        """Have a job done, once those that it comes `after`, given earlier, are done.

        Raises: what an earlier job raised.
        """
        while self._waiting and (
            len(self._waiting) >= self._most_waiting or self._waiting[0].done()
        ):
            self._waiting[0].result()
            self._waiting.popleft()
        # Jobs begin in order, so those that this one waits for are done or being done.
        future = self._pool.submit(self._do, job, tuple(after))
        self._waiting.append(future)
        return future

    def settle(self) -> None:
        """Wait until all that was given is done. Raises: what a job raised."""
        while self._waiting:
            self._waiting[0].result()
            self._waiting.popleft()

    def _do(self, job: Callable[[], None], after: tuple[Future[None], ...]) -> None:
        for earlier in after:
            earlier.result()
        if self._has_failed:
            return
        try:
            job()
        except BaseException:
            self._has_failed = True
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.settle()
        except Exception:
            # What was raised first is what the user is told.
            if error is None:
                raise
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
