import re
from pathlib import Path

import torch
from torchvision.models import DenseNet121_Weights, densenet121

from densenet_classifier.weights import IMAGENET1K_V1, sha256_of

OFFICIAL = DenseNet121_Weights.IMAGENET1K_V1
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class TestRecord:
    def test_url(self) -> None:
        assert IMAGENET1K_V1.url == OFFICIAL.url

    def test_file_name_is_the_last_part_of_the_url(self) -> None:
        assert IMAGENET1K_V1.file_name == "densenet121-a639ec97.pth"

    def test_digest_is_that_of_the_file_name(self) -> None:
        # torch.hub.HASH_REGEX is how torchvision reads it.
        found = re.search(torch.hub.HASH_REGEX, OFFICIAL.url)
        assert found
        assert found[1] == IMAGENET1K_V1.sha256_prefix

    def test_number_of_classes(self) -> None:
        assert IMAGENET1K_V1.classes == len(OFFICIAL.meta["categories"])

    def test_number_of_parameters(self) -> None:
        assert IMAGENET1K_V1.parameters == OFFICIAL.meta["num_params"]

    def test_number_of_parameters_is_that_of_the_network(self) -> None:
        with torch.device("meta"):
            network = densenet121(weights=None, num_classes=IMAGENET1K_V1.classes)
        assert sum(value.numel() for value in network.parameters()) == IMAGENET1K_V1.parameters

    def test_accuracy(self) -> None:
        metrics = OFFICIAL.meta["_metrics"]["ImageNet-1K"]
        ours = {"acc@1": IMAGENET1K_V1.top1_percent, "acc@5": IMAGENET1K_V1.top5_percent}
        assert ours == metrics


def test_sha256_of_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert sha256_of(path) == EMPTY_SHA256


def test_sha256_of_a_file_that_is_read_in_several_pieces(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"a" * 1_000_000)
    # FIPS 180-2, example of a million letters.
    assert sha256_of(path) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
