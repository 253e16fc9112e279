"""Attempts for the tests of the machine, and what is asked of them."""

from tests.played import CONNECTED, Player, ended, paired, qr, word
from workers.engine import protocol as pipe
from workers.engine.orders import Exited
from workers.linking.limits import AttemptLimits
from workers.rules import name_of

PHONE, OTHER = "+79001112233", "+79007654321"
NUMBER = PHONE[1:]
LIMITS = AttemptLimits()
DEAD = Exited(None, 6, "panic: somewhere")
LINKED_STATES = ["queued", "connecting", "awaiting_phone", "linking", "linked"]


def failure(player):
    body = player.ending or player.course.body
    return body.failure.code if body.failure else None


def shown(**options):
    """An attempt whose first QR is shown."""
    return Player(**options).begin().happen(qr(1))


def kinds(player):
    return [name_of(one) for one in player.done]


def linked(**options):
    return shown(**options).happen(paired(NUMBER), CONNECTED)


OUTDATED = word("err-client-outdated")
TOO_OLD = ended("client outdated (405)", pipe.LostReason.OUTDATED)
