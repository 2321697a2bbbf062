import ast
import inspect
import os
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

import densenet121_handler
from archive_builder import HANDLER
from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
from densenet_classifier.cores import Cores
from densenet_classifier.openapi import openapi_document
from densenet_classifier.page import render
from densenet_classifier.settings import Settings, SettingsError
from tests.unit.asking import EXPLAIN, AskOne, entry

pytestmark = pytest.mark.usefixtures("one_thread")


class TestDescription:
    def test_torchserves_request_is_answered_with_the_description(
        self, ask_one: AskOne, handler: DenseNet121Handler
    ) -> None:
        reply = ask_one({}, {"describe": "True"})
        assert (reply.status, reply.body) == (200, handler.classifier.describe())

    def test_a_client_that_sends_the_header_with_an_image_gets_its_class(
        self, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image}, {"describe": "True"})
        assert reply.body["class_id"] == "n00000002"

    @pytest.mark.parametrize("value", ["False", "", "1"])
    def test_another_value_of_the_header_means_nothing(self, value: str, ask_one: AskOne) -> None:
        reply = ask_one({}, {"describe": value})
        assert reply.error == (400, "NoImageError")


class TestDocuments:
    def test_a_browser_gets_the_page(self, ask_one: AskOne, handler: DenseNet121Handler) -> None:
        accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        reply = ask_one({"body": b""}, {"accept": accept})
        assert (reply.status, reply.text) == (200, handler.page.html)

    def test_the_page_has_its_headers(self, ask_one: AskOne, handler: DenseNet121Handler) -> None:
        reply = ask_one({"body": b""}, {"accept": "text/html"})
        assert reply.headers == {
            "content-type": "text/html; charset=utf-8",
            **handler.page.headers,
            "X-Model-Weights": "custom:test",
        }

    def test_the_page_is_that_of_the_model(self, handler: DenseNet121Handler) -> None:
        assert handler.page == render("densenet121", "custom:test")

    @pytest.mark.parametrize(
        "wanted", ["application/openapi+json", "application/vnd.oai.openapi+json"]
    )
    def test_the_description_of_all_requests(self, wanted: str, ask_one: AskOne) -> None:
        reply = ask_one({"body": b""}, {"Accept": wanted})
        assert (reply.status, reply.text) == (200, openapi_document("densenet121"))
        assert reply.headers == {
            "content-type": wanted,
            "Vary": "Accept",
            "X-Model-Weights": "custom:test",
        }

    @pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/png", "text/plain"])
    def test_other_clients_are_told_what_to_do(self, accept: str | None, ask_one: AskOne) -> None:
        reply = ask_one({"body": b""}, {"accept": accept})
        assert reply.error == (400, "NoImageError")
        assert "POST an image" in reply.body["message"]
        assert "'Accept: text/html'" in reply.body["message"]

    @pytest.mark.parametrize("accept", ["text/html", "application/openapi+json"])
    def test_an_image_is_classified_whatever_is_accepted(
        self, accept: str, ask_one: AskOne, image: bytearray
    ) -> None:
        reply = ask_one({"body": image}, {"accept": accept})
        assert (reply.body, reply.headers["content-type"]) == (entry(2), "application/json")

    def test_a_browser_that_explains_nothing_gets_the_page(self, ask_one: AskOne) -> None:
        reply = ask_one({"body": b""}, EXPLAIN | {"accept": "text/html"})
        assert reply.headers["content-type"].startswith("text/html")


class Told(NamedTuple):
    """What `Classifier.load` is told."""

    folder: Path
    settings: Settings
    cores: Cores
    gpu: int | None


class TestInitialize:
    @pytest.fixture(autouse=True)
    def no_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The settings of whoever runs the tests are none of theirs."""
        for setting in fields(Settings):
            monkeypatch.delenv(f"DENSENET121_{setting.name.upper()}", raising=False)

    @pytest.fixture
    def told(self, handler: DenseNet121Handler, monkeypatch: pytest.MonkeyPatch) -> list[Told]:
        """What loading is told; the machine has eight cores, and the archive is already loaded."""
        seen: list[Told] = []

        def load(*arguments: Any) -> Classifier:
            seen.append(Told(*arguments))
            return handler.classifier

        def affinity(_: int) -> set[int]:
            return set(range(8))

        monkeypatch.setattr(Classifier, "load", load)
        monkeypatch.setattr(os, "sched_getaffinity", affinity)
        return seen

    @pytest.mark.parametrize(
        ("config", "share"),
        [({}, 8), ({"minWorkers": 1}, 8), ({"minWorkers": 3}, 2), ({"minWorkers": 9}, 1)],
        ids=["unknown", "one worker", "three workers", "more workers than cores"],
    )
    def test_workers_share_the_cores(
        self,
        config: dict[str, Any],
        share: int,
        told: list[Told],
        tmp_path: Path,
        new_context: Callable[..., Any],
    ) -> None:
        handler = DenseNet121Handler()
        handler.initialize(new_context(tmp_path, config))
        assert handler.cores.now() == share
        assert handler.cores.counts() == {8, share}
        assert told == [Told(tmp_path, Settings(), handler.cores, None)]

    @pytest.mark.usefixtures("told")
    @pytest.mark.parametrize(("config", "seconds"), [({"responseTimeout": 7}, 7), ({}, 120)])
    def test_a_batch_has_the_time_that_torchserve_gives_its_worker(
        self,
        config: dict[str, Any],
        seconds: float,
        tmp_path: Path,
        new_context: Callable[..., Any],
    ) -> None:
        handler = DenseNet121Handler()
        handler.initialize(new_context(tmp_path, config))
        assert handler.time_s == seconds

    @pytest.mark.parametrize("gpu", [None, 0, 3])
    def test_the_gpu_is_the_one_that_torchserve_gives(
        self, gpu: int | None, told: list[Told], tmp_path: Path, new_context: Callable[..., Any]
    ) -> None:
        context = new_context(tmp_path, {})
        context.system_properties["gpu_id"] = gpu
        DenseNet121Handler().initialize(context)
        assert [each.gpu for each in told] == [gpu]

    def test_the_section_handler_becomes_the_settings(
        self, told: list[Told], tmp_path: Path, new_context: Callable[..., Any]
    ) -> None:
        handler = DenseNet121Handler()
        config = {"batchSize": 8, "handler": {"max_image_bytes": 99, "engine": "torch"}}
        handler.initialize(new_context(tmp_path, config))
        assert handler.settings == Settings(max_image_bytes=99, engine="torch")
        assert [each.settings for each in told] == [handler.settings]

    def test_a_slip_of_the_pen_stops_the_load(
        self, told: list[Told], tmp_path: Path, new_context: Callable[..., Any]
    ) -> None:
        config = {"handler": {"max_image_byte": 99}}
        with pytest.raises(SettingsError, match="max_image_byte"):
            DenseNet121Handler().initialize(new_context(tmp_path, config))
        assert told == []

    @pytest.mark.parametrize(("key", "value"), [("engine", "torch"), ("precision", "float32")])
    def test_engine_and_precision_are_those_of_the_settings(
        self, key: str, value: str, unpacked: Path, new_context: Callable[..., Any]
    ) -> None:
        handler = DenseNet121Handler()
        handler.initialize(new_context(unpacked, {"handler": {key: value}}))
        assert handler.classifier.describe()[key] == value

    def test_an_engine_without_the_precision_stops_the_load(
        self, unpacked: Path, new_context: Callable[..., Any]
    ) -> None:
        config = {"handler": {"engine": "openvino", "precision": "int8"}}
        with pytest.raises(SettingsError, match="openvino does not have precision int8 here"):
            DenseNet121Handler().initialize(new_context(unpacked, config))

    def test_a_folder_without_an_archive_stops_the_load(
        self, tmp_path: Path, new_context: Callable[..., Any]
    ) -> None:
        with pytest.raises(OSError, match=r"archive\.json"):
            DenseNet121Handler().initialize(new_context(tmp_path, {}))

    @pytest.mark.usefixtures("told")
    def test_what_pillow_warns_about_a_file_is_not_printed(
        self,
        ask_one: AskOne,
        tmp_path: Path,
        new_context: Callable[..., Any],
        encode: Callable[..., bytes],
    ) -> None:
        handler = DenseNet121Handler()
        content = encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter("always")
            handler.initialize(new_context(tmp_path, {}))
            assert ask_one({"body": content}).status == 200
            warnings.warn_explicit("of another", UserWarning, "another.py", 1, module="another")
        assert [str(each.message) for each in caught] == ["of another"]


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
