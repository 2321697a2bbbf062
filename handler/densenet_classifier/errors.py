"""What can be wrong with a request: one class a cause, each with its HTTP status.

Raised by the package for one image and answered for that image alone. The message tells
the client what arrived, what is accepted and what to do; it never reveals the server.
"""

from http import HTTPStatus
from typing import ClassVar

_SHOWN = 40  # characters


def shown(value: object) -> str:
    """Return what a client sent as a message can bear it: short, and of a collection its kind."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class RequestError(Exception):
    """Base of everything that is answered with an error status."""

    status: ClassVar[HTTPStatus]
    retry_after_s: ClassVar[int | None] = None  # told to the client as Retry-After

    def body(self) -> dict[str, int | str]:
        """Return the answer in TorchServe's own form: `code`, `type` and `message`."""
        return {"code": int(self.status), "type": type(self).__name__, "message": str(self)}


class NoImageError(RequestError):
    """The request carries no image, or an empty one: the client mends it."""

    status = HTTPStatus.BAD_REQUEST


class DuplicatePartError(RequestError):
    """Parts of a form that had one name, of which only the last arrived: the client renames."""

    status = HTTPStatus.BAD_REQUEST


class TooManyImagesError(RequestError):
    """More images than `max_images_per_request`: the client splits the request."""

    status = HTTPStatus.BAD_REQUEST


class SeveralImagesError(RequestError):
    """More than one image where the answer is a picture: the client sends them one by one."""

    status = HTTPStatus.BAD_REQUEST


class InvalidOptionError(RequestError):
    """An option with a value that it cannot have: the client mends it."""

    status = HTTPStatus.BAD_REQUEST


class InvalidDocumentError(RequestError):
    """JSON that is not valid or has none of the accepted forms: the client mends it."""

    status = HTTPStatus.BAD_REQUEST


class ImageTooLargeError(RequestError):
    """More bytes than `max_image_bytes`: the client sends fewer, or the operator allows more."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedImageError(RequestError):
    """Not an image, or a format that is not accepted: the client converts it."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UndecodableImageError(RequestError):
    """Truncated, corrupt, empty, or in too many pieces or scans: the client mends the file."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyPixelsError(RequestError):
    """More pixels than one image or a request may have: the client scales it or asks again.

    Or the operator allows more (`max_image_pixels`, `max_request_pixels`).
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class InternalError(RequestError):
    """A fault of the server, told in its log: the operator mends it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self) -> None:
        super().__init__("The server failed on this request. Its log says why.")


class OverloadedError(RequestError):
    """No time left for this image in a batch of heavy requests: the client tries again."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "The server had no time left for this image. Try again, with fewer of them."
        )


class DrainingError(RequestError):
    """The server is being stopped or scaled down: the client tries again, perhaps elsewhere."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("This server is being stopped or scaled down. Try again in a moment.")
