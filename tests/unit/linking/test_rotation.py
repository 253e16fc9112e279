"""The QRs of a connection, also when WhatsApp takes one back."""

import pytest

from shared.core import qr
from workers.linking.limits import AttemptLimits
from workers.linking.rotation import Rotation

BORN = 1_000_000


def text(ref, secret="s1"):
    return f"https://wa.me/settings/linked_devices#{ref},noise,identity,{secret},1"


def test_six_qrs_live_a_hundred_and_sixty_seconds():
    rotation, born = Rotation(), BORN
    for number in range(1, qr.COUNT + 1):
        rotation, view = rotation.next(text(f"2@{number}"), born, qr.LIFE_MS)
        assert (view.number, view.of, rotation.refreshed) == (number, qr.COUNT, False)
        assert rotation.dies == BORN + qr.LIFE_MS
        born = view.expires_at
    assert born == rotation.dies


@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_qr_that_was_taken_back_keeps_its_number_and_begins_its_time_again(number):
    rotation, born = Rotation(), BORN
    for past in range(1, number):
        rotation, view = rotation.next(text(f"2@{past}"), born, qr.LIFE_MS)
        born = view.expires_at
    rotation, _ = rotation.next(text(f"2@{number}"), born, qr.LIFE_MS)
    later = born + 7_000
    rotation, view = rotation.next(text(f"2@{number}", "s2"), later, qr.LIFE_MS)
    assert (view.number, rotation.refreshed) == (number, True)
    assert view.expires_at == later + qr.life_of(number)
    assert rotation.dies == BORN + qr.LIFE_MS + 7_000


def test_limits_out_of_order_are_refused():
    AttemptLimits()
    with pytest.raises(ValueError, match="out of order"):
        AttemptLimits(qr=200_000)
    with pytest.raises(ValueError, match="out of order"):
        AttemptLimits(code_least=170_000)
