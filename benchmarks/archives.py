"""The archives that are served, built by the project's own command, and the models in them."""

import shutil
import zipfile
from pathlib import Path

from archive_builder import MODEL_NAME, MODEL_STORE
from archive_builder.command import CommandError
from archive_builder.demo_weights import demo_weights, file_name
from benchmarks.ours import INT8_NAME, run_script

DEMO = "demo"
# Quantization with accuracy control tries many variants of the network.
_BUILD_TIMEOUT_S = 3600.0


def find_weights(asked: str, folder: Path) -> Path:
    """Return the file of the weights; for the word `demo` fit them, or take the fitted ones."""
    if asked != DEMO:
        path = Path(asked).absolute()
        if not path.is_file():
            message = f"{asked} is no file of weights"
            raise CommandError(message)
        return path
    fitted = MODEL_STORE / file_name()
    folder.mkdir(parents=True, exist_ok=True)
    if fitted.exists():
        shutil.copy(fitted, folder)
    return demo_weights(folder)


def build(store: Path, weights: Path) -> Path:
    """Build our archive into `store` and return the OpenVINO model that it holds."""
    _build(MODEL_NAME, store, weights)
    return _network(store / f"{MODEL_NAME}.mar", "network")


def build_int8(store: Path, weights: Path, calibration: Path) -> Path:
    """Build the int8 archive into `store` and return the int8 model that it holds."""
    _build(INT8_NAME, store, weights, "--int8", f"--calibration={calibration.absolute()}")
    return _network(store / f"{INT8_NAME}.mar", "network-int8")


def _build(name: str, store: Path, weights: Path, *arguments: str) -> None:
    store.mkdir(parents=True, exist_ok=True)
    run_script(
        "build-archive",
        f"--model-name={name}",
        f"--model-store={store}",
        *arguments,
        changes={"DENSENET121_WEIGHTS": str(weights)},
        timeout_s=_BUILD_TIMEOUT_S,
    )


def _network(archive: Path, name: str) -> Path:
    """Unpack NAME.xml and NAME.bin beside the model store."""
    folder = archive.parent.with_name(f"{archive.stem}-model")
    with zipfile.ZipFile(archive) as content:
        for each in (f"{name}.xml", f"{name}.bin"):
            try:
                content.extract(each, folder)
            except KeyError as error:
                message = f"{archive.name} holds no OpenVINO model ({each})"
                raise CommandError(message) from error
    return folder / f"{name}.xml"
