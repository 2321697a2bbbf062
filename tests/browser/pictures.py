"""Files as a visitor has them, and how a test gives them to the page and finds their cards."""

from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import FilePayload, Locator, Page, Route

from archive_builder import ROOT

SAMPLES = ROOT / "samples"


def sample(name: str) -> FilePayload:
    return payload(f"{name}.png", (SAMPLES / f"{name}.png").read_bytes())


def payload(name: str, content: bytes, kind: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": kind, "buffer": content}


def sky() -> FilePayload:
    """Return a picture that the demo weights do not know: nothing but one colour."""
    return payload("sky.png", encoded(Image.new("RGB", (300, 200), "#4a7fb5"), "PNG"))


def notes() -> FilePayload:
    return payload("notes.txt", b"these are my notes\n", "text/plain")


def scan() -> FilePayload:
    """Return a picture in a format that browsers do not show."""
    picture = Image.open(SAMPLES / "envelope.png")
    return payload("scan.tiff", encoded(picture, "TIFF"), "image/tiff")


def blank(path: Path, *, megabytes: int) -> Path:
    """Write a file of zeros, for what is judged by its size."""
    with path.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    return path


def encoded(picture: Image.Image, format_: str) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, format_)
    return buffer.getvalue()


def choose(page: Page, *files: FilePayload | Path) -> None:
    """Choose the files in the browser's own dialogue."""
    with page.expect_file_chooser() as dialogue:
        page.get_by_text("Choose pictures").click()
    dialogue.value.set_files(files)  # type: ignore[arg-type]


def hold(page: Page) -> list[Route]:
    """Leave what the page sends unanswered; the list grows with each request."""
    held = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route("**/predictions/*", keep)
    return held


def card(page: Page, name: str) -> Locator:
    """Return what the page shows for the file of that name."""
    heading = page.get_by_role("heading", name=name, exact=True, level=3)
    return page.locator("#cards > li").filter(has=heading)


def verdict(page: Page, name: str) -> Locator:
    return card(page, name).locator(".verdict")


def problem(page: Page, name: str) -> Locator:
    return card(page, name).locator(".problem")
