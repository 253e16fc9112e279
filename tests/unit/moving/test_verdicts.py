"""What becomes of each device is decided by a table of reasons."""

from types import SimpleNamespace

from shared.core.ids import CompanyId, session_of
from tests.each import each
from workers.moving.verdicts import Known, MoveVerdict, Rules, judge
from workers.store.device import StoredDevice

NOW = 2_000_000_000.0
JID = "79001230001:7@s.whatsapp.net"
OTHER = "79001230002:3@s.whatsapp.net"


def one(name="aurora", jid=JID, age=3600.0, stops=()):
    touched = NOW - age if age else 0.0
    return SimpleNamespace(name=name, label=name, jid=jid, stops=stops, remarks=(), touched=touched)


def known(*devices, running=()):
    return Known(devices, frozenset(running), NOW)


def registered(company, jid, parked=""):
    return StoredDevice(session_of(CompanyId(company)), jid, 0, "", parked)


def verdicts(found, here=None, **rules):
    return judge(found, here or known(), Rules(**rules))


CASES: dict = {
    "a good one": (one(), known(), {}, MoveVerdict.TAKE, ""),
    "its keys do not fit": (one(stops=["spoilt"]), known(), {}, MoveVerdict.REFUSED, "spoilt"),
    "still running": (one(age=60), known(), {}, MoveVerdict.REFUSED, "the old service still runs it"),
    "age unknown": (one(age=0), known(), {}, MoveVerdict.TAKE, ""),
    "no company's name": (one(name="a b"), known(), {}, MoveVerdict.REFUSED, "can be no company's id"),
    "not in the map": (one(), known(), {"companies": {"x": "y"}}, MoveVerdict.REFUSED, "does not name it"),
    "named by the map": (one(name="a b"), known(), {"companies": {"a b": "lotus"}}, MoveVerdict.TAKE, ""),
    "named by its jid": (one(name="a b"), known(), {"companies": {JID: "lotus"}}, MoveVerdict.TAKE, ""),
    "there already": (one(age=1), known(registered("aurora", JID)), {}, MoveVerdict.THERE, ""),
    "parked": (one(age=1), known(registered("aurora", JID, "replaced")), {}, MoveVerdict.REFUSED, "--again"),
    "parked, still running": (
        one(age=60),
        known(registered("aurora", JID, "replaced")),
        {"again": True},
        MoveVerdict.REFUSED,
        "the old service still runs it",
    ),
    "parked, again": (one(), known(registered("aurora", JID, "replaced")), {"again": True}, MoveVerdict.AGAIN, ""),
    "another company's": (one(), known(registered("lotus", JID)), {}, MoveVerdict.REFUSED, "lotus has this device"),
    "another device": (one(), known(registered("aurora", OTHER)), {}, MoveVerdict.REFUSED, "--replace"),
    "another device, replaced": (one(), known(registered("aurora", OTHER)), {"replace": True}, MoveVerdict.TAKE, ""),
    "linking now": (one(), known(running=["aurora"]), {}, MoveVerdict.REFUSED, "linking it just now"),
}


@each("case", CASES)
def test_each_reason_has_its_verdict(case):
    found, here, rules, verdict, said = CASES[case]
    (judged,) = judge([found], here, Rules(**rules))
    assert judged.verdict is verdict
    assert said in judged.why
    assert bool(judged.why) is (verdict is MoveVerdict.REFUSED)


def test_of_two_copies_of_a_device_the_later_used_one_counts():
    old, new = one("backup", age=90_000), one("aurora")
    assert [judged.verdict for judged in verdicts([new, old])] == [MoveVerdict.TAKE, MoveVerdict.REFUSED]
    same = [one("a"), one("b")]
    assert [judged.verdict for judged in verdicts(same)].count(MoveVerdict.TAKE) == 1


def test_a_company_gets_one_device():
    found = [one("a"), one("b", jid=OTHER)]
    judged = verdicts(found, companies={"a": "aurora", "b": "aurora"})
    assert [each.verdict for each in judged] == [MoveVerdict.TAKE, MoveVerdict.REFUSED]
    assert "a is for the same company" in judged[1].why


def test_an_old_device_is_taken_with_a_remark():
    (judged,) = verdicts([one(age=30 * 86400)])
    assert judged.verdict is MoveVerdict.TAKE
    assert "not used for 30 days" in judged.remarks
