import ast
import inspect
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import densenet121_handler
from archive_builder import HANDLER
from densenet121_handler import DenseNet121Handler
from densenet_classifier.classifier import Classifier
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
        new_context: Callable[..., Any],
    ) -> None:
        DenseNet121Handler().initialize(new_context(unpacked, config))
        assert threads == [expected]

    @pytest.mark.usefixtures("threads")
    def test_the_section_handler_becomes_the_settings(
        self, unpacked: Path, new_context: Callable[..., Any]
    ) -> None:
        handler = DenseNet121Handler()
        config = {"batchSize": 8, "handler": {"max_image_bytes": 99}}
        handler.initialize(new_context(unpacked, config))
        assert handler.settings == Settings(max_image_bytes=99)

    @pytest.mark.usefixtures("threads")
    def test_a_slip_of_the_pen_stops_the_load(
        self, unpacked: Path, new_context: Callable[..., Any]
    ) -> None:
        config = {"handler": {"max_image_byte": 99}}
        with pytest.raises(SettingsError, match="max_image_byte"):
            DenseNet121Handler().initialize(new_context(unpacked, config))

    def test_a_folder_without_an_archive_stops_the_load(
        self, tmp_path: Path, new_context: Callable[..., Any]
    ) -> None:
        with pytest.raises(OSError, match=r"archive\.json"):
            DenseNet121Handler().initialize(new_context(tmp_path, {}))

    @pytest.mark.usefixtures("threads")
    def test_what_pillow_warns_about_a_file_is_not_printed(
        self,
        ask_one: AskOne,
        unpacked: Path,
        new_context: Callable[..., Any],
        encode: Callable[..., bytes],
    ) -> None:
        content = encode(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        with warnings.catch_warnings(record=True) as caught:
            warnings.resetwarnings()
            warnings.simplefilter("always")
            DenseNet121Handler().initialize(new_context(unpacked, {}))
            assert ask_one({"body": content}).status == 200
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
