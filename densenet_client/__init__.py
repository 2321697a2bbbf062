"""Client of the service: send images, get classes.

    from densenet_client import Client

    with Client() as client:
        prediction = client.predict("cat.jpg", top_k=5)
        if prediction.recognised:
            print(prediction.class_name, prediction.probability)

client.py      `Client`: one request after the other, or many at a time
answers.py     what comes back: `Prediction`, `Explanation`, `PredictionError`
images.py      an image as path, URL, bytes or open file -> its bytes
destination.py whom `predict` asks
pinned.py      a server known by its certificate
transport.py   sessions: retries, token, proxies
ordered.py     several threads, results in order, memory bounded
names.py       names of a command line -> files and URLs
output.py      table, CSV and JSON lines
classify.py    the command `predict`; arguments.py has its options
"""

from densenet_client.answers import (
    Candidate,
    Explanation,
    NoServerError,
    Prediction,
    PredictionError,
)
from densenet_client.client import DEFAULT_URL, Client
from densenet_client.images import Image

__all__ = [
    "DEFAULT_URL",
    "Candidate",
    "Client",
    "Explanation",
    "Image",
    "NoServerError",
    "Prediction",
    "PredictionError",
]
