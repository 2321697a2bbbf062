import os
import subprocess
import sys
from pathlib import Path

import pytest

from densenet_classifier.cores import Cores

HOLDER = """
import sys
from pathlib import Path
from densenet_classifier.cores import Cores
cores = Cores(Path(sys.argv[1]))
with cores.at_work(1):
    print("at work", flush=True)
    sys.stdin.read()
"""


def start(folder: Path, count: int, total: int = 8) -> list[Cores]:
    return [Cores(folder, total=total) for _ in range(count)]


def test_without_a_total_there_are_as_many_cores_as_the_process_may_run_on(tmp_path: Path) -> None:
    assert Cores(tmp_path).total == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("workers", "share"), [(1, 8), (2, 4), (3, 2), (4, 2), (5, 1), (8, 1), (9, 1)]
)
def test_busy_workers_share_the_cores(tmp_path: Path, workers: int, share: int) -> None:
    all_workers = start(tmp_path, workers)
    for cores in all_workers:
        with cores.at_work(5):
            assert cores.now() == share


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_so_many_workers_as_cores_never_use_more_threads_than_cores(
    tmp_path: Path, workers: int
) -> None:
    assert sum(cores.now() for cores in start(tmp_path, workers)) <= 8


def test_a_lone_request_gets_all_cores_while_the_others_are_idle(tmp_path: Path) -> None:
    first, second = start(tmp_path, 2)
    with first.at_work(1):
        assert first.now() == 8
        with second.at_work(1):
            assert (first.now(), second.now()) == (4, 4)
        assert first.now() == 8


def test_a_batch_does_not_take_the_cores_of_the_idle(tmp_path: Path) -> None:
    first, _second = start(tmp_path, 2)
    with first.at_work(2):
        assert first.now() == 4
    with first.at_work(1):
        assert first.now() == 8


def test_a_worker_that_failed_is_no_longer_at_work(tmp_path: Path) -> None:
    first, second = start(tmp_path, 2)
    with pytest.raises(KeyError), second.at_work(1):
        raise KeyError
    with first.at_work(1):
        assert first.now() == 8


def test_workers_that_come_later_are_expected(tmp_path: Path) -> None:
    cores = Cores(tmp_path, workers=4, total=8)
    assert (cores.now(), cores.counts()) == (2, {2, 8})


def test_scaling_up_and_down_changes_the_share(tmp_path: Path) -> None:
    first = Cores(tmp_path, workers=2, total=8)
    assert first.counts() == {4, 8}
    others = start(tmp_path, 3)
    assert first.counts() == {2, 8}
    # The one that was expected has come, and gone.
    del others
    assert first.counts() == {8}


def test_once_all_have_come_one_that_ends_leaves_its_cores(tmp_path: Path) -> None:
    first = Cores(tmp_path, workers=2, total=8)
    second = Cores(tmp_path, workers=2, total=8)
    assert first.now() == 4
    del second
    assert first.now() == 8


def test_counts_are_all_that_now_may_give(tmp_path: Path) -> None:
    first, second = start(tmp_path, 2)
    seen = {first.now()}
    for requests in (1, 2):
        with first.at_work(requests):
            seen.add(first.now())
            with second.at_work(1):
                seen.add(first.now())
    assert seen == first.counts()


@pytest.mark.parametrize(
    ("content", "cores"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", 64)],
)
def test_a_containers_share_of_the_processors_counts(
    content: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr("densenet_classifier.cores._CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert Cores(tmp_path).total == cores


def test_the_workers_of_another_archive_do_not_count(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    assert [cores.now() for cores in [Cores(folder, total=8) for folder in folders]] == [8, 8]


def test_a_worker_that_is_killed_leaves_its_cores(tmp_path: Path) -> None:
    (cores,) = start(tmp_path, 1)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sibling:
        assert sibling.stdout is not None
        assert sibling.stdout.readline() == "at work\n"
        with cores.at_work(1):
            assert cores.now() == 4
            sibling.kill()
            sibling.wait()
            assert cores.now() == 8
    # Its number is free again.
    assert Cores(tmp_path, total=8)._number == 1


@pytest.mark.parametrize(("counted", "cores"), [(6, 6), (None, 1)])
def test_elsewhere_than_on_linux_all_cores_count(
    counted: int | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert Cores(tmp_path).total == cores


def test_all_workers_refuse_while_the_file_is_there(tmp_path: Path) -> None:
    workers = start(tmp_path, 2)
    assert [cores.refusing() for cores in workers] == [False, False]
    mark = tmp_path / "workers" / "refusing"
    mark.touch()
    assert [cores.refusing() for cores in workers] == [True, True]
    assert [cores.now() for cores in workers] == [4, 4], "the file is taken for a worker's"
    mark.unlink()
    assert [cores.refusing() for cores in workers] == [False, False]
