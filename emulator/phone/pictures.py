"""Reading a QR off a picture. The libraries are imported only when a picture comes."""

from io import BytesIO


class NoQrFound(ValueError):
    """The picture shows no QR that can be read; the text says why."""


def read_qr(picture: bytes) -> str:
    """The text of the QR on a PNG or JPEG. Raises NoQrFound. Takes some 10 ms: call it in a thread."""
    try:
        import zxingcpp
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise NoQrFound("pictures need zxing-cpp and Pillow; give the text of the QR instead") from error
    try:
        with Image.open(BytesIO(picture)) as image:
            found = zxingcpp.read_barcodes(
                image.convert("L"), formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
            )
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise NoQrFound("this is no picture") from error
    if not found:
        raise NoQrFound("no QR can be read on this picture")
    return str(found[0].text)
