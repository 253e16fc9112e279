"""The picture says what the text says, to a reader that is not ours."""

import base64
import random
import xml.etree.ElementTree as ET

import zxingcpp
from PIL import Image

from shared.core import qr
from tests.each import each

SCALE = 6


def drawn(svg):
    """The picture as a camera would have it, drawn from its path of horizontal strokes."""
    root = ET.fromstring(svg)
    width = int(root.attrib["viewBox"].split()[2])
    space = "{http://www.w3.org/2000/svg}"
    dark = next(path for path in root.iter(f"{space}path") if "stroke" in path.attrib)
    assert dark.attrib["stroke"] == "#000"
    picture = Image.new("L", (width, width), 255)
    x = y = 0.0
    for command, numbers in strokes(dark.attrib["d"]):
        match command:
            case "M":
                x, y = numbers
            case "m":
                x, y = x + numbers[0], y + numbers[1]
            case _:
                assert command == "h"
                picture.paste(0, (int(x), int(y), int(x + numbers[0]), int(y) + 1))
                x += numbers[0]
    return picture.resize((width * SCALE, width * SCALE), Image.Resampling.NEAREST)


def strokes(path):
    import re

    for command, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        yield command, [float(one) for one in re.findall(r"-?[\d.]+", numbers)]


def read(svg):
    found = zxingcpp.read_barcodes(drawn(svg), formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    return found[0].text if found else ""


def like_whatsapps(seed):
    """`ref,noise,identity,adv,platform`, as long and as random as the real one."""
    chance = random.Random(seed)
    keys = ",".join(base64.b64encode(chance.randbytes(32)).decode() for _ in range(3))
    ref = base64.b64encode(chance.randbytes(chance.randint(90, 120))).decode()
    return f"https://wa.me/settings/linked_devices#2@{ref},{keys},{chance.randint(1, 9)}"


@each("text", ["a", "2@abc", "https://wa.me/settings/linked_devices#2@x,y,z,1"])
def test_a_reader_reads_what_was_written(text):
    assert read(qr.svg(text)) == text


@each("seed", range(50))
def test_texts_like_whatsapps_are_readable(seed):
    text = like_whatsapps(seed)
    assert read(qr.svg(text)) == text


def test_the_picture_is_a_whole_document_that_scales_and_brings_its_own_white_margin():
    root = ET.fromstring(qr.svg(like_whatsapps(0)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "width" not in root.attrib
    assert "viewBox" in root.attrib
    picture = drawn(qr.svg("a"))
    margin = picture.crop((0, 0, picture.width, 4 * SCALE))
    assert margin.getextrema() == (255, 255)


def test_nothing_in_the_text_can_become_markup():
    svg = qr.svg('"/><script>alert(1)</script>&')
    assert "script" not in svg
    assert read(svg) == '"/><script>alert(1)</script>&'


def test_the_rotation_lives_as_long_as_whatsapps():
    lives = [qr.life_of(number) for number in range(1, qr.COUNT + 1)]
    assert lives == [60_000, 20_000, 20_000, 20_000, 20_000, 20_000]
    assert sum(lives) == qr.LIFE_MS == 160_000
