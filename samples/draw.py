"""Draw the sample pictures: one plain object per picture, each of an ImageNet class.

`draw(class_name)` returns an RGB picture of 320 x 320 pixels. `main()` writes every sample as
`<class_name>.png` beside this file, or into the folder given as the only argument.
The pictures are original drawings, made of shapes and of the typeface that Pillow brings along;
they contain no third-party material. The same Pillow draws the same pixels every time.
Redraw them with `python samples/draw.py [folder]`.
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.ImageDraw import ImageDraw as Pen

SIZE = 320
SHEET = 4 * SIZE  # Pillow does not smooth edges: shapes are drawn large, then reduced
INK = "#1a1a1a"
Box = tuple[int, int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Sample:
    """One picture: its class, and where the object is.

    `index` is the ImageNet-1k class index. `box` is the object's left, top, right and bottom in
    pixels of the 320 x 320 picture. `paint` draws on a sheet of 1280 x 1280 pixels, four to one.
    """

    class_name: str
    index: int
    box: Box
    paint: Callable[[Pen], None]


def _shade(pen: Pen, top: Sequence[int], bottom: Sequence[int]) -> None:
    """Fill the sheet with a vertical gradient between two RGB colours (0-255)."""
    for y in range(SHEET):
        mix = y / (SHEET - 1)
        colour = tuple(round(a + (b - a) * mix) for a, b in zip(top, bottom, strict=True))
        pen.line((0, y, SHEET, y), fill=colour)


def _polar(centre: Point, radius: float, degrees: float) -> Point:
    """Return the point `radius` sheet pixels from `centre`, clockwise from twelve o'clock."""
    angle = math.radians(degrees)
    return centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle)


def _text(pen: Pen, at: Point, words: str, height: int, fill: str, anchor: str = "mm") -> None:
    """Write `words` at a point of the sheet; `height` is the font size in sheet pixels."""
    pen.text(at, words, fill=fill, font=ImageFont.load_default(size=height), anchor=anchor)


CROSSWORD = (  # a row of cells a line: '#' black, '.' white, 'o' white with the next number
    "o.o.#oo.o",
    ".#.#o#.#.",
    "o.....#o.",
    "##.#.#o#.",
    "o........",
    ".#.#.#.##",
    "o.#o....o",
    ".#o#.#.#.",
    "o...#o...",
)


def _crossword_puzzle(pen: Pen) -> None:
    cell, edge, number = 116, 118, 0
    far = edge + len(CROSSWORD) * cell
    pen.rectangle((0, 0, SHEET, SHEET), fill="#f4f1e8")
    pen.rectangle((edge - 8, edge - 8, far + 8, far + 8), fill=INK)
    for row, marks in enumerate(CROSSWORD):
        for column, mark in enumerate(marks):
            x, y = edge + column * cell, edge + row * cell
            if mark != "#":
                pen.rectangle((x + 3, y + 3, x + cell - 3, y + cell - 3), fill="white")
            if mark == "o":
                number += 1
                _text(pen, (x + 12, y + 8), str(number), 38, INK, "la")


def _analog_clock(pen: Pen) -> None:
    middle = (640.0, 640.0)
    pen.rectangle((0, 0, SHEET, SHEET), fill="#16324f")
    pen.circle(middle, 560, fill="#c9a227")
    pen.circle(middle, 524, fill="white")
    for minute in range(60):
        inner, width = (464, 16) if minute % 5 == 0 else (486, 6)
        _hand(pen, middle, minute * 6, (inner, 504), width, INK)
    for hour in range(1, 13):
        _text(pen, _polar(middle, 404, hour * 30), str(hour), 92, INK)
    _hand(pen, middle, 309, (-60, 262), 30, INK)
    _hand(pen, middle, 108, (-60, 420), 20, INK)
    _hand(pen, middle, 195, (-80, 436), 8, "#b3261e")
    pen.circle(middle, 28, fill=INK)


def _hand(pen: Pen, at: Point, degrees: float, ends: Point, width: int, fill: str) -> None:
    """Draw a stroke along a radius of a dial, between two distances from `at` in sheet pixels."""
    pen.line([_polar(at, end, degrees) for end in ends], fill=fill, width=width)


def _traffic_light(pen: Pen) -> None:
    _shade(pen, (120, 170, 222), (214, 230, 242))
    pen.rectangle((608, 1060, 672, SHEET), fill="#4a4d50")
    pen.rounded_rectangle((440, 140, 840, 1100), 60, fill="#1d1f20")
    for y, glass in ((320, "#e3170a"), (620, "#3b2f10"), (920, "#12351c")):
        pen.circle((640, y), 136, fill="#0b0c0c")
        pen.circle((640, y), 116, fill=glass)
        pen.arc((500, y - 150, 780, y + 130), 180, 360, fill="#333638", width=28)
    pen.circle((625, 305), 70, fill="#ff6a52")


MAZE = (  # a row of cells a line, two marks a cell: its wall below and its wall to the right
    "  _   _ _|  _ _    | |",
    " |_ _|   | | |  _| | |",
    "  _ _ _|  _ _| | | | |",
    "  _|   |_|  _ _|  _| |",
    " |  _|_   _| |  _|  _|",
    " | |_ _ _| | |_  |   |",
    " |_ _ _  | |_  | |_| |",
    "  _ _ _| | |   | |   |",
    " |  _ _  | | |_|_ _| |",
    " |_  |_ _| |  _ _  | |",
    "_ _|_ _ _ _|_ _ _|_  |",
)


def _maze(pen: Pen) -> None:
    cell, edge, hedge = 94, 123, "#2f6b35"
    far = edge + len(MAZE) * cell
    pen.rectangle((0, 0, SHEET, SHEET), fill="#e9dcc0")
    pen.rectangle((edge + cell - 15, edge - 15, far + 15, edge + 15), fill=hedge)
    pen.rectangle((edge - 15, edge - 15, edge + 15, far + 15), fill=hedge)
    for row, marks in enumerate(MAZE):
        for place, mark in enumerate(marks):
            left, top = edge + place // 2 * cell, edge + row * cell
            right, bottom = left + cell, top + cell
            if mark == "_":
                pen.rectangle((left - 15, bottom - 15, right + 15, bottom + 15), fill=hedge)
            if mark == "|":
                pen.rectangle((right - 15, top - 15, right + 15, bottom + 15), fill=hedge)


def _digital_clock(pen: Pen) -> None:
    _shade(pen, (60, 56, 52), (28, 26, 24))
    pen.rounded_rectangle((110, 340, 1170, 940), 70, fill="#111111", outline="#4a4a4a", width=10)
    for x, lit in ((190, "abdeg"), (410, "abcdef"), (730, "bcfg"), (950, "acdfg")):
        for name, y in (("a", 440), ("g", 640), ("d", 840)):
            fill = "#ff2a1a" if name in lit else "#2a0d0b"
            pen.rounded_rectangle((x + 10, y - 17, x + 130, y + 17), 16, fill=fill)
        for name, left, y in (("f", 0, 440), ("b", 140, 440), ("e", 0, 640), ("c", 140, 640)):
            fill = "#ff2a1a" if name in lit else "#2a0d0b"
            pen.rounded_rectangle((x + left - 17, y + 10, x + left + 17, y + 190), 16, fill=fill)
    for y in (540, 704):
        pen.rectangle((622, y, 658, y + 36), fill="#ff2a1a")


def _web_site(pen: Pen) -> None:
    pen.rectangle((0, 0, SHEET, SHEET), fill="#e9edf2")
    pen.rectangle((90, 90, 1190, 1190), fill="white", outline="#b8c2cc", width=4)
    pen.rectangle((90, 90, 1190, 240), fill="#1f4e8c")
    _text(pen, (130, 165), "Green Valley News", 80, "white", "lm")
    pen.rectangle((90, 240, 1190, 300), fill="#2f66ad")
    for column, word in enumerate(("Home", "News", "Sports", "Weather", "Contact")):
        _text(pen, (130 + column * 215, 270), word, 40, "white", "lm")
    for row, word in enumerate(("Latest", "Archive", "Photos", "Links", "Forum", "Help")):
        _text(pen, (130, 360 + row * 60), word, 38, "#1a4fb4", "lm")
    pen.rectangle((360, 340, 820, 640), fill="#8fc1e8")
    pen.polygon([(360, 640), (500, 440), (620, 580), (700, 500), (820, 640)], fill="#4d8f54")
    pen.circle((730, 410), 40, fill="#ffe27a")
    _text(pen, (360, 690), "A day in the valley", 52, "#202020", "lm")
    for row in range(10):
        y = 750 + row * 42
        pen.rectangle((360, y, 800 - (row * 37) % 90, y + 16), fill="#8a8f96")
    for top in (340, 625, 910):
        pen.rectangle((870, top, 1150, top + 240), fill="#f3f5f8", outline="#c6ced8", width=4)
        pen.rectangle((870, top, 1150, top + 50), fill="#d97b29")
        for row in range(4):
            y = top + 80 + row * 38
            pen.rectangle((890, y, 1120 - (row * 53) % 80, y + 16), fill="#7f93ad")


def _street_sign(pen: Pen) -> None:
    _shade(pen, (92, 150, 214), (206, 226, 242))
    pen.rectangle((612, 330, 668, SHEET), fill="#8d9296")
    pen.rounded_rectangle((110, 330, 1170, 610), 36, fill="#0a6b3b")
    pen.rounded_rectangle((128, 348, 1152, 592), 26, outline="white", width=12)
    _text(pen, (640, 470), "MAPLE ST", 190, "white")


def _envelope(pen: Pen) -> None:
    _shade(pen, (60, 90, 110), (40, 66, 84))
    pen.rectangle((125, 330, 1175, 1000), fill="#22394a")
    pen.rectangle((110, 300, 1160, 980), fill="#efe3ca")
    pen.polygon([(110, 980), (635, 560), (1160, 980)], fill="#f5ecd8")
    pen.polygon([(110, 300), (1160, 300), (635, 720)], fill="#fbf5e6")
    pen.line([(110, 300), (635, 720), (1160, 300)], fill="#b59d72", width=10)


def _umbrella(pen: Pen) -> None:
    sky, wood = "#c2d0da", "#4a3526"
    pen.rectangle((0, 0, SHEET, SHEET), fill=sky)
    for reach, colour in ((540, "#d62828"), (350, "#f2b705"), (120, "#2a9d4a")):
        pen.pieslice((640 - reach, 160, 640 + reach, 1240), 180, 360, fill=colour)
    for left, right in ((100, 290), (290, 520), (520, 760), (760, 990), (990, 1180)):
        pen.ellipse((left, 652, right, 748), fill=sky)
    pen.line((640, 100, 640, 162), fill=wood, width=26)
    pen.line((640, 653, 640, 1072), fill=wood, width=26)
    pen.arc((627, 980, 811, 1164), 0, 180, fill=wood, width=26)


SAMPLES = (
    Sample("crossword_puzzle", 918, (27, 27, 293, 293), _crossword_puzzle),
    Sample("analog_clock", 409, (20, 20, 300, 300), _analog_clock),
    Sample("traffic_light", 920, (110, 35, 210, 275), _traffic_light),
    Sample("maze", 646, (27, 27, 293, 293), _maze),
    Sample("digital_clock", 530, (27, 85, 293, 235), _digital_clock),
    Sample("web_site", 916, (22, 22, 298, 298), _web_site),
    Sample("street_sign", 919, (27, 82, 293, 153), _street_sign),
    Sample("envelope", 549, (27, 75, 290, 245), _envelope),
    Sample("umbrella", 879, (25, 25, 295, 291), _umbrella),
)


def draw(class_name: str) -> Image.Image:
    """Draw one sample: an RGB picture of 320 x 320 pixels. KeyError: no sample has this name."""
    sample = {each.class_name: each for each in SAMPLES}[class_name]
    sheet = Image.new("RGB", (SHEET, SHEET))
    sample.paint(ImageDraw.Draw(sheet))
    return sheet.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write every sample as a PNG file; the folder must exist."""
    parser = argparse.ArgumentParser(description="Draw the sample pictures.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    folder: Path = parser.parse_args(arguments).folder
    for sample in SAMPLES:
        draw(sample.class_name).save(folder / f"{sample.class_name}.png", optimize=True)


if __name__ == "__main__":
    main()
