"""The fuzzer: a slice of its cases, and that it notices what it is there to notice."""

import json
import random
from collections.abc import Iterator
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from densenet_classifier.formats import FORMATS
from densenet_classifier.images import Picture
from reliability.fuzzing import amplified, judging, worker
from reliability.fuzzing.cases import Case, Cases
from reliability.fuzzing.documents import document
from reliability.fuzzing.judging import Answer, faults
from reliability.fuzzing.measured import Cost
from reliability.fuzzing.mutations import mutate
from reliability.fuzzing.seeds import ACCEPTED, Seed, gather
from reliability.fuzzing.wire import Parameter, Request, received
from reliability.fuzzing.worker import CASES_OF_A_BATCH, Tally, Worker

SEED = 2026
BATCHES = 400  # 2400 cases, some 10 s of one core

OFF = [seed for seed in gather() if not seed.accepted]
# Of formats that Pillow reads, or wrote in former versions.
FORMATS_THAT_ARE_OFF = {
    "BLP", "BUFR", "CUR", "DCX", "DDS", "DIB", "EPS", "FLI", "FPX", "FTEX", "GBR", "GRIB", "HDF5",
    "ICNS", "ICO", "IM", "IPTC", "JPEG2000", "MCIDAS", "MIC", "MPEG", "MSP", "PCD", "PCX", "PDF",
    "PIXAR", "PPM", "PSD", "QOI", "SGI", "SPIDER", "SUN", "TGA", "WMF", "XBM", "XPM", "XVTHUMB",
}  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> Iterator[Worker]:
    """A worker without the cases that take a second each."""
    with Worker.start(None, Cases(SEED, amplify=False)) as started:
        yield started


def ask(asked: Worker, request: Request) -> Answer:
    return asked.answers([request])[0]


class TestCases:
    def test_come_again(self) -> None:
        first, again = Cases(7), Cases(7)
        for number in (0, 1, 500, 99_999, 10**9):
            assert first[number] == again[number]

    def test_of_another_seed_are_others(self) -> None:
        one, other = Cases(7), Cases(8)
        assert [one[number] for number in range(5)] != [other[number] for number in range(5)]

    def test_are_of_every_kind(self) -> None:
        kinds = {case.kind.partition(":")[0] for case in map(Cases(7).__getitem__, range(1500))}
        assert kinds >= {f"{name} mutated" for name in ACCEPTED} | {
            "amplified", "document", "document with binary data", "form",
            "format that is off as it is", "format that is off mutated",
        }  # fmt: skip

    def test_stay_within_what_a_request_may_have(self) -> None:
        cases = Cases(7)
        assert max(cases[number].request.size for number in range(1500)) < 2**25

    def test_can_all_be_made(self) -> None:
        cases = Cases(11, amplify=False)
        assert all(cases[number].kind for number in range(3000))

    def test_are_made_of_the_files_of_a_folder_too(self, assets: Path) -> None:
        names = {seed.name for seed in gather(assets)} - {seed.name for seed in gather()}
        assert {"broken.png", "truncated_jpeg.jpg", "zero_width.gif"} <= names


def test_seeds_are_of_every_format_that_is_accepted_and_of_all_others() -> None:
    assert {seed.format for seed in gather() if seed.accepted} == ACCEPTED == set(FORMATS)
    assert {seed.format for seed in OFF} >= FORMATS_THAT_ARE_OFF


def test_a_slice_of_the_cases_finds_nothing(asked: Worker) -> None:
    tally = Tally()
    for number in range(BATCHES):
        tally.add(asked.batch(number))
    assert [(each.number, each.wrong) for each in tally.findings] == []
    assert tally.cases == BATCHES * CASES_OF_A_BATCH
    assert tally.neighbours == BATCHES * 2
    seen = {status for counts in tally.statuses.values() for status in counts}
    assert seen >= {"200", "400", "415", "422"}


@pytest.mark.parametrize("seed", OFF, ids=lambda seed: seed.name)
def test_a_format_that_is_off_is_refused_and_its_decoder_not_begun(
    seed: Seed, asked: Worker
) -> None:
    asked.begun.clear()
    for content_type in ("", "image/png"):
        assert ask(asked, Request.raw(seed.content, content_type)).status == 415
    assert asked.begun == []


def test_the_trap_catches_an_opener_of_a_format_that_is_off(asked: Worker) -> None:
    (ppm,) = (seed for seed in OFF if seed.name == "PPM-RGB-0")
    asked.begun.clear()
    with pytest.raises(OSError, match="the opener of"):
        Image.open(BytesIO(ppm.content))
    assert asked.begun != []


class TestFindings:
    """What is made wrong on purpose is told, with the case that it happened to."""

    def wrongs(self, asked: Worker, batch: int = 0) -> str:
        return "\n".join(each.wrong for each in asked.batch(batch).findings)

    def test_a_fault_of_the_handler(self, asked: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise KeyError

        monkeypatch.setattr(Picture, "pixels", fail)
        assert "status 500 is none that" in self.wrongs(asked)

    def test_another_answer_to_a_neighbour(
        self, asked: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upside_down = Picture.pixels
        monkeypatch.setattr(Picture, "pixels", lambda picture: upside_down(picture)[::-1])
        assert "the answer to its neighbour" in self.wrongs(asked)

    def test_too_much_time(self, asked: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "MOST_CPU_S", 1e-5)
        monkeypatch.setattr(asked, "_dearest", Cost())
        assert "s of CPU time" in self.wrongs(asked)

    def test_too_much_memory(self, asked: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "MOST_MEMORY_BYTES", -1)
        monkeypatch.setattr(asked, "_dearest", Cost())
        assert "MiB of memory" in self.wrongs(asked)

    def test_the_opener_of_a_format_that_is_off(
        self, asked: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        genuine = Image.open
        monkeypatch.setattr(Image, "open", lambda file, **_: genuine(file))
        monkeypatch.setattr("densenet_classifier.images.identify", lambda _: "any")
        wrongs = "\n".join(self.wrongs(asked, number) for number in range(5))
        assert "openers of formats that are off were begun" in wrongs
        assert "instead of 415" in wrongs


class TestJudging:
    CASE = Case(1, "", Request.raw(b""), HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    REFUSED: dict[str, object] = {"code": 415, "type": "UnsupportedImageError", "message": "No."}  # noqa: RUF012

    def answer(self, body: object, status: int = 415, **more: str) -> Answer:
        told = {"content_type": "application/json", "weights": "demo"} | more
        return Answer(status, content=json.dumps(body).encode(), **told)

    def test_a_good_answer_has_no_fault(self) -> None:
        assert faults(self.CASE, self.answer(self.REFUSED)) == []

    @pytest.mark.parametrize(
        ("body", "status", "more"),
        [
            (REFUSED | {"code": 500, "type": "InternalError"}, 500, {}),
            (REFUSED, 422, {}),
            (REFUSED | {"more": 1}, 415, {}),
            (REFUSED | {"type": "OtherError"}, 415, {}),
            ({"class_id": None, "class_name": None}, 415, {}),
            ({"class_id": None, "class_name": None}, 200, {}),
            ([], 415, {}),
            (float("nan"), 415, {}),
            (REFUSED, 415, {"weights": ""}),
            (REFUSED, 415, {"content_type": ""}),
            (REFUSED, 415, {"content_type": "text/html; charset=utf-8"}),
        ],
    )
    def test_what_is_wrong_is_a_fault(
        self, body: object, status: int, more: dict[str, str]
    ) -> None:
        assert faults(self.CASE, self.answer(body, status, **more)) != []

    def test_a_picture_is_only_for_an_explanation(self) -> None:
        picture = Answer(200, "image/png", b"\x89PNG\r\n\x1a\n", "demo")
        plain = Case(1, "", Request.raw(b""))
        explained = Case(1, "", Request.raw(b"", headers=[("explain", "True")]))
        assert faults(plain, picture) != []
        assert faults(explained, picture) == []

    def test_a_list_has_to_keep_the_description(self) -> None:
        good = {"predictions": [{"class_id": "n1", "class_name": "one"}]}
        assert judging.json_faults(json.dumps(good).encode(), 200, explains=False) == ()
        bad = {"predictions": [{"class_id": "n1"}]}
        assert judging.json_faults(json.dumps(bad).encode(), 200, explains=False) != ()


class TestWire:
    def test_a_request_arrives_as_torchserve_hands_it_on(self) -> None:
        parts = (Parameter("a", "application/json", b'{"a": 1}'), Parameter("b", "", b"\xff"))
        (batch,) = received([Request(parts, (("Name", "value"),))])
        assert [(each["name"], each["value"]) for each in batch["parameters"]] == [
            ("a", b'{"a": 1}'),
            ("b", b"\xff"),
        ]
        assert batch["headers"] == [{"name": b"Name", "value": b"value"}]


@pytest.mark.parametrize("name", amplified.FILES)
def test_what_means_a_lot_of_work_is_no_larger_than_what_is_accepted(name: str) -> None:
    generator = random.Random(3)  # noqa: S311
    for _ in range(2):
        assert 0 < len(amplified.FILES[name](generator)) <= amplified.MOST_BYTES


def test_mutations_change_nearly_everything() -> None:
    generator = random.Random(3)  # noqa: S311
    files = [seed.content for seed in gather() if seed.accepted]
    changed = [mutate(generator, content, files[0]) != content for content in files]
    assert sum(changed) > 0.7 * len(files)


def test_documents_are_json_most_of_the_time() -> None:
    generator = random.Random(3)  # noqa: S311

    def is_json(text: bytes) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    texts: list[Any] = [document(generator, [b"an image"]) for _ in range(200)]
    assert 0.6 < sum(map(is_json, texts)) / len(texts) < 0.95
