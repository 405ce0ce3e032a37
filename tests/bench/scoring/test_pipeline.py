"""Reading ahead and writing behind: order, bounds, errors, and no thread left over."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest
from vaebench.bench.errors import ImageError
from vaebench.bench.scoring.pipeline import MOST_THREADS, ReadAhead, WriteBehind, file_threads

WAIT_S = 20.0


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("read-ahead", "write-behind"))
    ]
    assert left == []


def until(condition: Any) -> None:
    """Wait for another thread, which may take its time on a busy machine."""
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, "the other thread never came so far"
        time.sleep(0.001)


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order_one_ahead(threads: int) -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        return item * item

    batches = [[0, 1, 2], [3], [4, 5], [6, 7], [8]]
    with ReadAhead(read, batches, threads) as ahead:
        for place, (batch, squares) in enumerate(ahead):
            assert batch == batches[place]
            assert squares == [item * item for item in batch]
            following = sum(map(len, batches[: place + 2]))
            until(lambda following=following: len(begun) == following)
    assert sorted(begun) == list(range(9))


def test_what_reading_raises_is_raised_in_its_turn() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise ImageError("Cannot read it.")
        return item

    seen: list[int] = []
    with (
        pytest.raises(ImageError, match="Cannot read it"),
        ReadAhead(read, [[0], [1], [2], [3]], 1) as ahead,
    ):
        for _, read_items in ahead:
            seen += read_items
    assert seen == [0, 1]


def test_leaving_early_reads_no_further() -> None:
    begun: list[int] = []
    with ReadAhead(begun.append, [[item] for item in range(50)], 1) as ahead:
        for _ in ahead:
            break
    assert len(begun) <= 2


def test_jobs_begin_in_order_and_all_are_done() -> None:
    done: list[int] = []
    with WriteBehind(1, most_waiting=3) as behind:
        for item in range(20):
            behind.give(lambda item=item: done.append(item))
    assert done == list(range(20))


def test_giving_more_than_may_wait_waits() -> None:
    gate = threading.Event()
    given: list[int] = []

    def give(behind: WriteBehind) -> None:
        for item in range(6):
            behind.give(lambda: gate.wait(WAIT_S) and None)
            given.append(item)

    with WriteBehind(1, most_waiting=3) as behind:
        giver = threading.Thread(target=give, args=(behind,))
        giver.start()
        until(lambda: len(given) == 3)
        time.sleep(0.05)
        assert len(given) == 3
        gate.set()
        giver.join(WAIT_S)
        assert len(given) == 6


def test_a_job_comes_after_those_it_waits_for() -> None:
    gate, done = threading.Event(), list[str]()

    def slow() -> None:
        gate.wait(WAIT_S)
        done.append("picture")

    with WriteBehind(4, most_waiting=10) as behind:
        pictures: list[Future[None]] = [behind.give(slow) for _ in range(2)]
        behind.give(lambda: done.append("part"), after=pictures)
        behind.give(lambda: done.append("other"))
        until(lambda: done == ["other"])
        gate.set()
    assert done == ["other", "picture", "picture", "part"]


def test_after_a_failed_job_none_begins() -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), WriteBehind(1, 10) as behind:
        failed = behind.give(fail)
        behind.give(lambda: done.append("part"), after=[failed])
        behind.give(lambda: done.append("later"))
    assert done == []


def test_the_first_error_is_told_and_what_was_given_before_is_done() -> None:
    done: list[int] = []
    gate = threading.Event()

    def late(item: int) -> None:
        gate.wait(WAIT_S)
        done.append(item)

    with pytest.raises(KeyboardInterrupt), WriteBehind(1, 10) as behind:
        for item in range(3):
            behind.give(lambda item=item: late(item))
        gate.set()
        raise KeyboardInterrupt
    assert done == [0, 1, 2]


def interrupt_main(*after: threading.Event, then: threading.Event) -> threading.Thread:
    """Send Ctrl-C to the main thread after each event, and let the jobs end thereafter."""

    def press() -> None:
        for event in after:
            event.wait(WAIT_S)
            # Until the main thread waits in a lock.
            time.sleep(0.1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.1)
        then.set()

    thread = threading.Thread(target=press)
    thread.start()
    return thread


class Told(WriteBehind):
    """Tells when it begins to wait for what was given."""

    def __init__(self, settling: threading.Event) -> None:
        super().__init__(1, most_waiting=3)
        self.settling = settling

    def settle(self) -> None:
        self.settling.set()
        super().settle()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_waiting_for_the_writer(times: int) -> None:
    """What was given is done; pressed again, only what was begun is."""
    full, settling, gate = (threading.Event() for _ in range(3))
    done: list[int] = []

    def slow(item: int) -> None:
        gate.wait(WAIT_S)
        done.append(item)

    presser = interrupt_main(*(full, settling)[:times], then=gate)
    with pytest.raises(KeyboardInterrupt), Told(settling) as behind:
        for item in range(3):
            behind.give(lambda item=item: slow(item))
        full.set()
        behind.give(lambda: slow(3))
    presser.join(WAIT_S)
    assert done == ([0, 1, 2] if times == 1 else [0])


def test_ctrl_c_while_waiting_for_the_reader() -> None:
    gate, begun = threading.Event(), threading.Event()

    def slow(item: int) -> int:
        begun.set()
        gate.wait(WAIT_S)
        return item

    presser = interrupt_main(begun, then=gate)
    with pytest.raises(KeyboardInterrupt), ReadAhead(slow, [[1], [2], [3]], 1) as ahead:
        for _ in ahead:
            pass
    presser.join(WAIT_S)


def test_a_cpu_keeps_its_cores_for_the_model() -> None:
    assert file_threads("cpu") == 1
    assert 1 <= file_threads("cuda") <= MOST_THREADS
