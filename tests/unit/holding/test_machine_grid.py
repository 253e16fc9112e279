"""What each event does to a held session in each phase: the whole table of the machine, from outside.

The session at hand has a past: fresh, its dwell over while it was away, tried twice, and parked by a ban.
"""

from typing import Any

from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from tests.played import RETRY_AT, START
from workers.engine import protocol as pipe
from workers.holding import tenure as t
from workers.holding.machine import step
from workers.holding.tenure import Sign, Tenure, TenurePhase
from workers.rules import name_of

S = "company_salon-1"
PAST: dict[str, Any] = {
    "fresh": True,
    "due": True,
    "parked": "banned",
    "tries": 2,
    "trouble": FailureCode.CONNECTION_FAILED,
}
PHASES = ("coming", "online", "away", "leaving")
EVENTS: dict[str, Any] = {
    **{sign.value: sign for sign in Sign},
    "unlink-asked": t.UnlinkAsked(START + 9),
    "held": pipe.Held(session=S),
    "restored": pipe.Restored(session=S),
    "dropped": pipe.Dropped(session=S),
    "released": pipe.Released(session=S),
    **{f"lost-{reason.value}": pipe.Lost(session=S, reason=reason) for reason in pipe.LostReason},
    "remarked": pipe.Remarked(session=S, remark=pipe.Remark.STREAM_ERROR),
    "lost-banned-until": pipe.Lost(session=S, reason=pipe.LostReason.BANNED, until=RETRY_AT),
}


def outcome(phase: TenurePhase, event: Any) -> str:
    """The next phase if it is another, the changes, and the effects, in one line."""
    before = Tenure(phase, shown=State.RECONNECTING, **PAST)
    after, effects = step(before, event, START)
    changed = {name: getattr(after, name) for name in Tenure.__struct_fields__ if name != "phase"}
    changes = [f"{name}={value}" for name, value in changed.items() if value != getattr(before, name)]
    to = [f"-> {after.phase.value}"] if after.phase is not phase else []
    return " ".join([*to, *changes, *map(name_of, effects)]) or "-"


#: Event, phases, outcome; "-": nothing happens.
GRID = """
dwelt                coming away leaving         -
dwelt                online                      fresh=False due=False TellVerified
settled              coming away leaving         -
settled              online                      parked= UnparkDevice
holder-died          coming leaving              CutTexts StartAgain
holder-died          online away                 -> coming CutTexts StartAgain
start-failed         coming leaving              tries=3 RetryIn
start-failed         online away                 -> coming tries=3 RetryIn
keys-missing         coming online away leaving  -> over ForgetDevice TellEnd
retry                coming leaving              StartAgain
retry                online away                 -
unanswered           coming online away          -
unanswered           leaving                     tries=3 Disconnect RetryIn
late                 coming online away          -
late                 leaving                     -> over ForgetDevice TellEnd
unlink-asked         coming away                 -> leaving parked=unlinking leave_by=1800000000009 ParkDevice GiveUpAt
unlink-asked         online                      -> leaving parked=unlinking leave_by=1800000000009 ParkDevice GiveUpAt SendLogOut
unlink-asked         leaving                     -
held                 coming                      -> online shown=linked due=False parked= tries=0 trouble=None WakeTexts Tell Dwell UnparkDevice
held                 online                      -
held                 away                        -> online shown=linked fresh=False due=False parked= tries=0 trouble=None WakeTexts Tell TellVerified UnparkDevice
held                 leaving                     tries=0 trouble=None SendLogOut
restored             coming                      -> online shown=linked due=False parked= tries=0 trouble=None WakeTexts Tell Dwell UnparkDevice
restored             online                      -
restored             away                        -> online shown=linked fresh=False due=False parked= tries=0 trouble=None WakeTexts Tell TellVerified UnparkDevice
restored             leaving                     tries=0 trouble=None SendLogOut
dropped              coming online               -> away
dropped              away leaving                -
released             coming online away          -
released             leaving                     tries=3 RetryIn
lost-logged-out      coming online away leaving  -> over ForgetDevice TellEnd
lost-restricted      coming online away          -> over ParkDevice TellEnd Offer
lost-restricted      leaving                     -> over ForgetDevice TellEnd
lost-replaced        coming online away          -> over ParkDevice TellEnd Offer
lost-replaced        leaving                     tries=3 RetryIn
lost-banned          coming online away          -> over ParkDevice TellEnd Offer
lost-banned          leaving                     tries=3 RetryIn
lost-outdated        coming                      trouble=client-outdated Tell AwaitVersion
lost-outdated        online away                 -> coming trouble=client-outdated Tell AwaitVersion
lost-outdated        leaving                     AwaitVersion
lost-refused         coming                      tries=3 Tell RetryIn
lost-refused         online away                 -> coming tries=3 Tell RetryIn
lost-refused         leaving                     tries=3 RetryIn
lost-start-failed    coming                      tries=3 Tell RetryIn
lost-start-failed    online away                 -> coming tries=3 Tell RetryIn
lost-start-failed    leaving                     tries=3 RetryIn
remarked             coming online away          TellRemark
remarked             leaving                     -
lost-banned-until    coming online away          -> over CoolNumber ParkDevice TellEnd Offer
lost-banned-until    leaving                     tries=3 RetryIn
"""


def test_every_event_in_every_phase_does_what_the_grid_says():
    rows = [(line[:20].strip(), line[21:48].split(), line[49:]) for line in GRID.strip().splitlines()]
    wanted = {(event, phase): said for event, phases, said in rows for phase in phases}
    found = {(name, one): outcome(TenurePhase(one), event) for name, event in EVENTS.items() for one in PHASES}
    assert found == wanted
    assert {outcome(TenurePhase.OVER, event) for event in EVENTS.values()} == {"-"}
