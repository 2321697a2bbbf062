import ast
import importlib
import inspect
import json
import logging
import os
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image

import densenet121_handler
from archive_builder import HANDLER
from densenet121_handler import DenseNet121Handler
from densenet_classifier import images as images_module
from densenet_classifier.classifier import Classifier
from densenet_classifier.settings import Settings, SettingsError

pytestmark = pytest.mark.usefixtures("one_thread")

Row = Mapping[str, Any]
PLAIN_TYPE = {"content-type": "application/octet-stream"}
NO_TYPE = {"content-type": ""}
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


class Reply(NamedTuple):
    status: int
    phrase: str
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.text)
        return result

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.body["type"]


Ask = Callable[..., list[Reply]]


@pytest.fixture(scope="module")
def torchserve() -> types.ModuleType:
    """TorchServe's own module of contexts."""
    with warnings.catch_warnings():
        # `ts/version.py` leaves a file open.
        warnings.simplefilter("ignore", ResourceWarning)
        return importlib.import_module("ts.context")


def make_context(torchserve: types.ModuleType, folder: Path, config: Mapping[str, Any]) -> Any:
    return torchserve.Context(
        "densenet121", str(folder), {}, 8, None, "0.12.0", model_yaml_config=config
    )


@pytest.fixture(scope="module")
def handler(unpacked: Path, torchserve: types.ModuleType) -> Iterator[DenseNet121Handler]:
    """One handler for all tests, as a worker has one for all requests."""
    threads = torch.get_num_threads()
    result = DenseNet121Handler()
    result.initialize(make_context(torchserve, unpacked, {"maxWorkers": os.cpu_count()}))
    yield result
    torch.set_num_threads(threads)


@pytest.fixture
def ask(handler: DenseNet121Handler, unpacked: Path, torchserve: types.ModuleType) -> Ask:
    """Return a function `ask(rows, headers of each row) -> replies`, one batch each."""

    def _ask(rows: Sequence[Row], headers: Sequence[Mapping[str, Any]] = ()) -> list[Reply]:
        context = make_context(torchserve, unpacked, {})
        context.request_processor = [
            torchserve.RequestProcessor(dict(each)) for each in headers or [{} for _ in rows]
        ]
        texts = handler.handle(rows, context)
        assert len(texts) == len(rows)
        return [
            Reply(
                status=context.get_response_status(index)[0],
                phrase=context.get_response_status(index)[1],
                headers=context.get_response_headers(index),
                text=text,
            )
            for index, text in enumerate(texts)
        ]

    return _ask


@pytest.fixture(scope="module")
def images(pictures: list[Image.Image], encode: Callable[..., bytes]) -> list[bytearray]:
    """The five pictures as PNG; number i is of class i. TorchServe passes bytearrays."""
    return [bytearray(encode(picture, "PNG")) for picture in pictures]


@pytest.fixture(scope="module")
def image(images: list[bytearray]) -> bytearray:
    return images[2]


@pytest.fixture(scope="module")
def truncated(image: bytearray) -> bytearray:
    return image[: len(image) - 30]


class TestOneImage:
    def test_as_raw_body(self, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{"body": image}])
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    def test_as_bytes(self, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{"body": bytes(image)}])
        assert reply.body["class_id"] == "n00000002"

    def test_the_answer_is_one_line_with_exactly_the_two_keys(
        self, ask: Ask, image: bytearray
    ) -> None:
        (reply,) = ask([{"body": image}])
        assert reply.text == '{"class_id": "n00000002", "class_name": "class 2"}'

    def test_the_phrase_of_the_status(self, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{"body": image}])
        assert (reply.status, reply.phrase) == (200, "OK")

    @pytest.mark.parametrize("name", ["file", "data", "image", "picture", "foto ä"])
    def test_as_a_file_of_a_form_under_any_name(
        self, name: str, ask: Ask, image: bytearray
    ) -> None:
        (reply,) = ask([{name: image}], [{name: PLAIN_TYPE}])
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    @pytest.mark.parametrize("name", ["file", "data", "image"])
    def test_as_a_file_that_declares_no_type(self, name: str, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{name: image}])
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize("name", ["file", "image"])
    def test_a_header_with_the_name_of_the_field_does_not_hide_it(
        self, name: str, ask: Ask, image: bytearray
    ) -> None:
        (reply,) = ask([{name: image}], [{name: "1"}])
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize(
        "value", ["hello", bytearray(b"hello"), "", bytearray(), "BM", {"a": 1}], ids=repr
    )
    @pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
    def test_other_fields_are_ignored(
        self, value: object, ask: Ask, image: bytearray, *, first: bool
    ) -> None:
        fields = {"note": value, "file": image} if first else {"file": image, "note": value}
        (reply,) = ask([fields], [{"file": PLAIN_TYPE}])
        assert (reply.status, reply.body["class_id"]) == (200, "n00000002")

    @pytest.mark.parametrize("header", [{"content-type": ""}, {}, None, "x"], ids=repr)
    def test_a_field_without_a_type_is_no_file(self, header: object, ask: Ask) -> None:
        (reply,) = ask([{"note": bytearray(b"hello")}], [{"note": header}])
        assert reply.error == (400, "NoImageError")


class TestWhatIsNoImage:
    def test_an_empty_row(self, ask: Ask) -> None:
        (reply,) = ask([{}])
        assert reply.error == (400, "NoImageError")
        assert "no form field arrived" in reply.body["message"]

    @pytest.mark.parametrize("body", [b"", bytearray(), ""], ids=repr)
    def test_an_empty_body_as_of_a_get(self, body: object, ask: Ask) -> None:
        (reply,) = ask([{"body": body}])
        assert reply.error == (400, "NoImageError")

    def test_an_empty_file(self, ask: Ask) -> None:
        (reply,) = ask([{"file": bytearray()}], [{"file": PLAIN_TYPE}])
        assert reply.error == (400, "NoImageError")

    def test_a_form_without_a_file_is_told_which_fields_arrived(self, ask: Ask) -> None:
        (reply,) = ask([{"note": "hello", "size": "3"}])
        assert reply.error == (400, "NoImageError")
        assert "the form fields note, size arrived" in reply.body["message"]
        assert "'file'" in reply.body["message"]

    @pytest.mark.parametrize(
        "names", [("file", "data"), ("file", "image"), ("one", "two", "three")], ids="+".join
    )
    def test_several_files(self, names: tuple[str, ...], ask: Ask, image: bytearray) -> None:
        row, types_ = dict.fromkeys(names, image), dict.fromkeys(names, PLAIN_TYPE)
        (reply,) = ask([row], [types_])
        assert reply.error == (400, "SeveralImagesError")
        assert f"{len(names)} files arrived ({', '.join(names)})" in reply.body["message"]

    def test_several_images_that_declare_no_type(self, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{"one": image, "two": image}])
        assert reply.error == (400, "SeveralImagesError")

    def test_a_file_input_that_was_left_empty_is_no_second_file(
        self, ask: Ask, image: bytearray
    ) -> None:
        row = {"photo": image, "another": bytearray()}
        (reply,) = ask([row], [{"photo": PLAIN_TYPE, "another": PLAIN_TYPE}])
        assert reply.status == 200

    def test_names_that_a_client_chose_do_not_fill_the_answer(self, ask: Ask) -> None:
        (reply,) = ask([{f"{number}{'x' * 1000}": "text" for number in range(1000)}])
        assert reply.error == (400, "NoImageError")
        assert len(reply.text) < 600

    def test_a_caption_that_begins_like_a_bitmap_is_no_file(
        self, ask: Ask, image: bytearray
    ) -> None:
        row = {"caption": bytearray(b"BMW at the lake"), "holiday": image}
        (reply,) = ask([row], [{"caption": NO_TYPE, "holiday": PLAIN_TYPE}])
        assert reply.status == 200

    @pytest.mark.parametrize(
        "document", [{"file": "aGVsbG8="}, {}, [], [1, 2], None, 5, 0, 1.5, True], ids=repr
    )
    @pytest.mark.parametrize("name", ["body", "file"])
    def test_a_json_document(self, name: str, document: object, ask: Ask) -> None:
        (reply,) = ask([{name: document}])
        assert reply.error == (415, "UnsupportedImageError")
        assert "JSON" in reply.body["message"]

    @pytest.mark.parametrize("name", ["body", "file", "data"])
    def test_a_text_that_torchserve_has_decoded(self, name: str, ask: Ask) -> None:
        (reply,) = ask([{name: "hällo"}])
        assert reply.error == (415, "UnsupportedImageError")
        assert reply.body["message"].startswith("6 bytes beginning with")

    @pytest.mark.parametrize("name", ["body", "file", "document"])
    def test_another_kind_of_file(self, name: str, ask: Ask) -> None:
        (reply,) = ask([{name: bytearray(PDF)}], [{name: {"content-type": "image/png"}}])
        assert reply.error == (415, "UnsupportedImageError")

    def test_a_truncated_image(self, ask: Ask, truncated: bytearray) -> None:
        (reply,) = ask([{"body": truncated}])
        assert reply.error == (422, "UndecodableImageError")

    @pytest.mark.parametrize(
        ("limits", "error"),
        [
            (Settings(max_image_bytes=10), (413, "ImageTooLargeError")),
            (Settings(max_image_pixels=10), (422, "TooManyPixelsError")),
        ],
        ids=["bytes", "pixels"],
    )
    def test_more_than_the_settings_allow(
        self,
        limits: Settings,
        error: tuple[int, str],
        ask: Ask,
        image: bytearray,
        handler: DenseNet121Handler,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(handler, "settings", limits)
        (reply,) = ask([{"body": image}])
        assert reply.error == error

    def test_the_phrase_of_the_status(self, ask: Ask) -> None:
        (reply,) = ask([{"body": bytearray(PDF)}])
        assert (reply.status, reply.phrase) == (415, "Unsupported Media Type")

    def test_the_body_repeats_the_status(self, ask: Ask) -> None:
        (reply,) = ask([{"body": bytearray(PDF)}])
        assert list(reply.body) == ["code", "type", "message"]
        assert reply.body["code"] == reply.status


class TestDescription:
    def test_torchserves_request_is_answered_with_the_description(
        self, ask: Ask, handler: DenseNet121Handler
    ) -> None:
        (reply,) = ask([{}], [{"describe": "True"}])
        assert (reply.status, reply.body) == (200, handler.classifier.describe())

    def test_a_client_that_sends_the_header_with_an_image_gets_its_class(
        self, ask: Ask, image: bytearray
    ) -> None:
        (reply,) = ask([{"body": image}], [{"describe": "True"}])
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize("value", ["False", "", "1"])
    def test_another_value_of_the_header_means_nothing(self, value: str, ask: Ask) -> None:
        (reply,) = ask([{}], [{"describe": value}])
        assert reply.error == (400, "NoImageError")

    def test_the_header_explain_means_nothing(self, ask: Ask, image: bytearray) -> None:
        (reply,) = ask([{"body": image}], [{"explain": "True"}])
        assert reply.body == {"class_id": "n00000002", "class_name": "class 2"}

    def test_among_images(self, ask: Ask, images: list[bytearray]) -> None:
        rows: list[Row] = [{"body": images[0]}, {}, {"body": images[1]}]
        replies = ask(rows, [{}, {"describe": "True"}, {}])
        assert [next(iter(reply.body)) for reply in replies] == ["class_id", "version", "class_id"]


class TestBatch:
    def test_the_order_is_kept(self, ask: Ask, images: list[bytearray]) -> None:
        order = [3, 0, 4, 1, 2, 0]
        replies = ask([{"body": images[index]} for index in order])
        assert [reply.body["class_name"] for reply in replies] == [f"class {i}" for i in order]

    def test_a_bad_image_leaves_its_neighbours_alone(
        self, ask: Ask, images: list[bytearray], truncated: bytearray
    ) -> None:
        rows = [{"body": images[1]}, {"body": truncated}, {"file": images[4]}]
        replies = ask(rows)
        assert [reply.status for reply in replies] == [200, 422, 200]
        assert [replies[0].text, replies[2].text] == [ask([rows[i]])[0].text for i in (0, 2)]

    def test_each_row_has_its_own_headers(self, ask: Ask, image: bytearray) -> None:
        row = {"document": bytearray(PDF), "file": image}
        typed = {"document": PLAIN_TYPE}
        assert [reply.status for reply in ask([row, row], [{}, typed])] == [200, 415]

    def test_only_bad_requests(self, ask: Ask, truncated: bytearray) -> None:
        replies = ask([{}, {"body": truncated}, {"body": None}])
        assert [reply.status for reply in replies] == [400, 422, 415]

    def test_no_request(self, ask: Ask) -> None:
        assert ask([]) == []

    def test_every_answer_names_the_weights_and_is_json(
        self, ask: Ask, image: bytearray, truncated: bytearray
    ) -> None:
        replies = ask(
            [{"body": image}, {"body": truncated}, {}, {}], [{}, {}, {}, {"describe": "True"}]
        )
        expected = {"content-type": "application/json", "X-Model-Weights": "custom:test"}
        assert [reply.headers for reply in replies] == [expected] * 4

    def test_nothing_of_a_request_is_kept(
        self, ask: Ask, handler: DenseNet121Handler, image: bytearray, truncated: bytearray
    ) -> None:
        before = {key: id(value) for key, value in vars(handler).items()}
        ask([{"body": image}, {"body": truncated}, {}])
        assert {key: id(value) for key, value in vars(handler).items()} == before


class TestFaultsOfTheServer:
    @pytest.fixture
    def broken_decode(self, monkeypatch: pytest.MonkeyPatch, images: list[bytearray]) -> None:
        genuine = images_module.decode

        def decode(content: bytes | bytearray, settings: Settings) -> object:
            if content == images[1]:
                message = "/secret/path is full"
                raise OSError(message)
            return genuine(content, settings)

        monkeypatch.setattr(densenet121_handler, "decode", decode)

    @pytest.fixture
    def broken_inference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def probabilities(_: object, __: object) -> None:
            # TorchServe answers an exception with this word with 507 for everybody.
            message = "CUDA out of memory at /secret/path"
            raise RuntimeError(message)

        monkeypatch.setattr(Classifier, "probabilities", probabilities)

    @pytest.mark.usefixtures("broken_decode")
    def test_an_unforeseen_fault_costs_only_its_own_request(
        self, ask: Ask, images: list[bytearray]
    ) -> None:
        replies = ask([{"body": image} for image in images[:3]])
        assert [reply.status for reply in replies] == [200, 500, 200]
        assert [replies[0].body["class_name"], replies[2].body["class_name"]] == [
            "class 0",
            "class 2",
        ]

    @pytest.mark.usefixtures("broken_decode")
    def test_it_is_told_in_the_log_and_not_to_the_client(
        self, ask: Ask, images: list[bytearray], caplog: pytest.LogCaptureFixture
    ) -> None:
        (reply,) = ask([{"body": images[1]}])
        assert reply.error == (500, "InternalError")
        assert "secret" not in reply.text
        assert "/secret/path is full" in caplog.text

    @pytest.mark.usefixtures("broken_inference")
    def test_a_failing_network_is_answered_for_images_only(
        self, ask: Ask, images: list[bytearray], truncated: bytearray
    ) -> None:
        rows: list[Row] = [
            {"body": images[0]}, {"body": truncated}, {}, {"body": images[1]}, {}
        ]  # fmt: skip
        replies = ask(rows, [{}, {}, {}, {}, {"describe": "True"}])
        assert [reply.status for reply in replies] == [500, 422, 400, 500, 200]

    @pytest.mark.usefixtures("broken_inference")
    def test_a_failing_network_is_told_in_the_log_and_not_to_the_client(
        self, ask: Ask, image: bytearray, caplog: pytest.LogCaptureFixture
    ) -> None:
        (reply,) = ask([{"body": image}])
        assert reply.error == (500, "InternalError")
        assert "CUDA" not in reply.text
        assert "CUDA out of memory at /secret/path" in caplog.text

    def test_a_bad_request_does_not_fill_the_log(
        self, ask: Ask, truncated: bytearray, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="densenet121_handler")
        ask([{"body": truncated}, {}])
        assert caplog.text == ""


class TestInitialize:
    @pytest.fixture
    def threads(self, handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """What torch is told; the machine has eight cores, and the archive is already loaded."""
        told: list[int] = []

        def load(_: Path) -> Classifier:
            return handler.classifier

        def affinity(_: int) -> set[int]:
            return set(range(8))

        monkeypatch.setattr(Classifier, "load", load)
        monkeypatch.setattr(os, "sched_getaffinity", affinity)
        monkeypatch.setattr(torch, "set_num_threads", told.append)
        return told

    @pytest.mark.parametrize(
        ("config", "expected"),
        [({}, 8), ({"maxWorkers": 1}, 8), ({"maxWorkers": 3}, 2), ({"maxWorkers": 9}, 1)],
        ids=["unknown", "one worker", "three workers", "more workers than cores"],
    )
    def test_workers_share_the_cores(
        self,
        config: dict[str, Any],
        expected: int,
        threads: list[int],
        unpacked: Path,
        torchserve: types.ModuleType,
    ) -> None:
        DenseNet121Handler().initialize(make_context(torchserve, unpacked, config))
        assert threads == [expected]

    @pytest.mark.usefixtures("threads")
    def test_the_section_handler_becomes_the_settings(
        self, unpacked: Path, torchserve: types.ModuleType
    ) -> None:
        handler = DenseNet121Handler()
        config = {"batchSize": 8, "handler": {"max_image_bytes": 99}}
        handler.initialize(make_context(torchserve, unpacked, config))
        assert handler.settings == Settings(max_image_bytes=99)

    @pytest.mark.usefixtures("threads")
    def test_a_slip_of_the_pen_stops_the_load(
        self, unpacked: Path, torchserve: types.ModuleType
    ) -> None:
        config = {"handler": {"max_image_byte": 99}}
        with pytest.raises(SettingsError, match="max_image_byte"):
            DenseNet121Handler().initialize(make_context(torchserve, unpacked, config))

    def test_a_folder_without_an_archive_stops_the_load(
        self, tmp_path: Path, torchserve: types.ModuleType
    ) -> None:
        with pytest.raises(OSError, match=r"archive\.json"):
            DenseNet121Handler().initialize(make_context(torchserve, tmp_path, {}))

    @pytest.mark.usefixtures("threads")
    def test_what_pillow_warns_about_a_file_is_not_printed(
        self, ask: Ask, unpacked: Path, torchserve: types.ModuleType, encode: Callable[..., bytes]
    ) -> None:
        content = encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter("always")
            DenseNet121Handler().initialize(make_context(torchserve, unpacked, {}))
            assert ask([{"body": content}])[0].status == 200
        assert caught == []


class TestModule:
    def test_torchserve_finds_exactly_one_class(self) -> None:
        own = [
            value
            for _, value in inspect.getmembers(densenet121_handler, inspect.isclass)
            if value.__module__ == densenet121_handler.__name__
        ]
        assert own == [DenseNet121Handler]

    def test_no_function_handle_would_be_taken_instead_of_the_class(self) -> None:
        assert not hasattr(densenet121_handler, "handle")

    def test_the_class_inherits_nothing(self) -> None:
        assert DenseNet121Handler.__mro__ == (DenseNet121Handler, object)

    def test_no_relative_import(self) -> None:
        tree = ast.parse((HANDLER / "densenet121_handler.py").read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert [node.module for node in imports if node.level] == []

    @pytest.mark.parametrize(
        "path", sorted(HANDLER.rglob("*.py")), ids=lambda path: str(path.relative_to(HANDLER))
    )
    def test_nothing_in_the_archive_imports_torchserve(self, path: Path) -> None:
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").split(".")[0])
        assert "ts" not in imported
