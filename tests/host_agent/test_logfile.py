"""A kill between any two writes: the log has each batch exactly once afterwards."""

from collections.abc import Callable

import pytest

from tako.host_agent import logfile
from tako.host_agent.layout import Layout
from tako.host_agent.logfile import Consumed, LogFile
from tests.host_agent.world import APP

FIRST, SECOND = b"one\n", b"two two two\n"


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, what was written stays."""


def die(*_: object) -> None:
    raise Killed


def half_write(fd: int, content: bytes) -> None:
    logfile.os.write(fd, content[: len(content) // 2])
    raise Killed


def whole_write(fd: int, content: bytes) -> None:
    logfile.os.write(fd, content)
    raise Killed


@pytest.mark.parametrize("write", [die, half_write, whole_write], ids=["announced", "half written", "written"])
def test_a_batch_is_in_the_log_once_whenever_its_writer_was_killed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
) -> None:
    dirs = layout.app(APP)
    log = LogFile(dirs)
    log.append(FIRST, Consumed("a.out", 0, 10))
    monkeypatch.setattr(logfile, "_write_all", write)
    with pytest.raises(Killed):
        log.append(SECOND, Consumed("a.out", 10, 30))
    monkeypatch.undo()
    log.close()
    for _ in range(2):  # a second kill right after the recovery changes nothing
        after = LogFile(dirs)
        if after.offset("a.out") == 10:
            assert after.append(SECOND, Consumed("a.out", 10, 30))
        assert after.offset("a.out") == 30
        after.append(b"own\n")
        after.close()
    assert dirs.current_log.read_bytes() == FIRST + SECOND + b"own\nown\n"


def test_a_kill_after_a_rotation_does_not_repeat_the_last_batch(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirs = layout.app(APP)
    monkeypatch.setattr(logfile, "ROTATE_BYTES", 20)
    log = LogFile(dirs)
    log.append(SECOND, Consumed("a.out", 0, 10))
    log.append(b"rotates it\n")
    log.close()
    assert LogFile(dirs).offset("a.out") == 10
    assert dirs.previous_log.read_bytes() == SECOND


def test_a_line_of_our_own_that_was_cut_by_a_kill_is_removed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    dirs = layout.app(APP)
    log = LogFile(dirs)
    log.append(FIRST, Consumed("a.out", 0, 10))
    monkeypatch.setattr(logfile, "_write_all", half_write)
    with pytest.raises(Killed):
        log.append(SECOND)
    log.close()
    LogFile(dirs).close()
    assert dirs.current_log.read_bytes() == FIRST


def test_a_dropped_batch_stays_dropped(layout: Layout) -> None:
    dirs = layout.app(APP)
    log = LogFile(dirs)
    log.drop(Consumed("a.out", 0, 10))
    log.close()
    assert LogFile(dirs).offset("a.out") == 10
