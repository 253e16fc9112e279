"""Reading a QR off a picture. opencv is imported only when a picture comes."""

from __future__ import annotations


class NoQrFound(ValueError):
    """The picture shows no QR that can be read; the text says why."""


def read_qr(picture: bytes) -> str:
    """The text of the QR on a PNG or JPEG. Raises NoQrFound. Takes 10 to 100 ms: call it in a thread."""
    try:
        import cv2
        import numpy
    except ImportError as error:
        raise NoQrFound("pictures need opencv-python-headless; give the text of the QR instead") from error
    image = cv2.imdecode(numpy.frombuffer(picture, numpy.uint8), cv2.IMREAD_GRAYSCALE) if picture else None
    if image is None:
        raise NoQrFound("this is no picture")
    detector = cv2.QRCodeDetector()
    # A QR that fills the whole picture lacks the quiet zone that the detector wants; a small one wants to be larger.
    framed = cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=255)
    for candidate in (image, framed, cv2.resize(framed, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)):
        text, _, _ = detector.detectAndDecode(candidate)
        if text:
            return str(text)
    raise NoQrFound("no QR can be read on this picture")
