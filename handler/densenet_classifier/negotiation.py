"""Which of the offered media types a client prefers, by its header Accept (RFC 9110, 12.5.1)."""

from collections.abc import Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """Return the media type that is wanted most.

    Of equals that is the one named most precisely, then the one offered first, which is also the
    answer where the header is empty or accepts nothing that is offered.
    """
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    return max(offered, key=lambda media_type: _weight(media_type, ranges))


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weights = [piece[2:] for piece in parameters if piece.startswith("q=")] or ["1"]
    try:
        weight = float(weights[0])
    except ValueError:
        return name, 0.0
    return name, weight if 0 <= weight <= 1 else 0.0


def _weight(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, int]:
    """Return the weight of the most precise range that holds the type, and how precise that is."""
    patterns = ("*/*", f"{media_type.partition('/')[0]}/*", media_type)
    found = [(patterns.index(name), weight) for name, weight in ranges if name in patterns]
    if not found:
        return 0.0, 0
    precision, weight = max(found)
    return weight, precision if weight else 0
