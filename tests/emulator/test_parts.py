"""The parts of the protocol, each by itself."""

import random

import pytest

from emulator.faults import CHAOS, FAULTS, Fault, Step
from emulator.rules import Chaos, Rule, Rules
from emulator.wire import protobuf as wire
from emulator.wire.binary_xml import MalformedStanza, decode, encode
from emulator.wire.keys import KeyPair, code_cipher, verify
from emulator.wire.nodes import LID_SERVER, Jid, Node
from emulator.wire.words import load_words

WORDS = load_words()


def test_the_word_lists_are_complete():
    assert (len(WORDS.single), [len(words) for words in WORDS.double]) == (236, [256] * 4)
    assert WORDS.codes["s.whatsapp.net"] == b"\x03"


@pytest.mark.parametrize(
    "node",
    [
        Node("iq"),
        Node("iq", {"id": "12.3-4", "to": Jid(""), "odd": "ABC", "word": "xmlstreamstart", "text": "привет"}),
        Node("message", {"to": Jid("79001234567", device=7), "lid": Jid("100", LID_SERVER, 3)}, b""),
        Node("list", {}, tuple(Node("user", {"jid": Jid(str(i))}) for i in range(300))),
        Node("enc", {}, bytes(70_000)),
        Node("a", {}, (Node("b", {}, (Node("c", {}, b"chrome (linux)"),)),)),
    ],
)
def test_a_stanza_survives_the_wire(node):
    assert decode(encode(node, WORDS), WORDS) == node


def test_rubbish_is_no_stanza():
    chance = random.Random(1)
    for length in range(60):
        data = b"\0" + chance.randbytes(length)
        try:
            decode(data, WORDS)
        except MalformedStanza:
            continue


def test_a_signature_fits_its_key_and_message_only():
    for _ in range(20):
        pair = KeyPair.generate()
        signature = pair.sign(b"message")
        assert verify(pair.public, b"message", signature)
        assert not verify(pair.public, b"massage", signature)
        assert not verify(KeyPair.generate().public, b"message", signature)
        assert not verify(pair.public, b"message", signature[:-1])


def test_the_code_cipher_is_its_own_inverse():
    hidden = code_cipher("ABCD1234", bytes(32), bytes(16), b"k" * 32)
    assert hidden != b"k" * 32
    assert code_cipher("ABCD1234", bytes(32), bytes(16), hidden) == b"k" * 32


def test_a_message_of_fields_survives():
    message = wire.Message(wire.write({1: 300, 2: b"x", 3: "y", 5: None}))
    assert (message.number(1), message.data(2), message.data(3), message.has(5)) == (300, b"x", b"y", False)
    with pytest.raises(wire.MalformedMessage):
        wire.Message(b"\x0a\x7f")


def test_every_fault_is_documented_and_every_step_has_its_three():
    assert list(FAULTS) == list(Fault)
    for step in Step:
        assert {f"{step}-silence", f"{step}-cut", f"{step}-late"} <= set(Fault)


def test_a_rule_is_skipped_used_up_and_kept_apart():
    rules = Rules(Chaos(0, 0))
    rules.add(Rule(0, Fault.CODE_REFUSED, tag="a", skip=1, times=2))
    taken = [rules.take(Fault.CODE_REFUSED, tag, None) is not None for tag in ("a", "b", "a", "a", "a")]
    assert taken == [False, False, True, True, False]
    rules.add(Rule(0, Fault.CODE_REFUSED, phone="1", times=None))
    assert rules.take(Fault.CODE_REFUSED, "a", None) is None
    assert all(rules.take(Fault.CODE_REFUSED, "a", "1") for _ in range(5))


def test_chaos_is_the_same_for_the_same_seed():
    def fired(seed):
        rules = Rules(Chaos(0.2, seed))
        return [rules.take(CHAOS[i % len(CHAOS)], "", None) is not None for i in range(200)]

    assert fired(7) == fired(7) != fired(8)
    assert 10 < sum(fired(7)) < 80
