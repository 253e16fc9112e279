"""Two workers at random: the version only grows, one owns at most, and a stale writer is as good as dead."""

import asyncio

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.core.lifecycle import DEVICE, STEPS, IllegalStep, State
from shared.core.protocol import Method
from shared.state.claims import queued
from shared.state.lease import Lease
from shared.state.snapshots import Forgotten
from tests.unit.world import ONE, OTHER, SESSION, Ear, World, change

WORKERS = some.sampled_from([ONE, OTHER])


class TwoWorkers(RuleBasedStateMachine):
    """Each worker believes in the newest lease that it was ever given."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.believed = {}
        self.seen = (0, 0)
        self.read = (0, 0)

    def do(self, coroutine):
        return self.runner.run(coroutine)

    @initialize()
    def begin(self):
        async def connect():
            self.fake = FakeAsyncRedis(version=(7,))
            self.world = World(self.fake)
            self.ear = Ear(self.fake)
            await self.ear.__aenter__()

        self.do(connect())

    def is_owner(self, lease):
        """As Redis sees it, by a way of its own."""

        async def look():
            return (
                await self.world.leases.owner(SESSION) == lease.worker
                and await self.fake.get(f"wa:lease:{SESSION}") == lease.owner.encode()
            )

        return self.do(look())

    @rule()
    def somebody_asks(self):
        self.do(self.world.ask())

    @rule()
    def somebody_cancels(self):
        self.do(self.world.claims.cancel(SESSION, change(State.CANCELLED)))

    @rule(worker=WORKERS, with_attempt=some.booleans())
    def a_worker_takes_the_lease(self, worker, with_attempt):
        attempt = self.do(self.world.snapshots.read(SESSION)).attempt if with_attempt else None
        owner = self.do(self.world.leases.owner(SESSION))
        lease = self.do(self.world.leases.acquire(SESSION, worker, attempt=attempt))
        if lease is not None:
            assert owner is None, "a living lease was taken"
            assert all(lease.token >= other.token for other in self.believed.values())
            self.believed[worker] = lease

    @rule(worker=WORKERS, ending=some.booleans(), state=some.sampled_from(list(State)))
    def a_worker_writes(self, worker, ending, state):
        lease = self.believed.get(worker)
        if lease is None:
            return
        owner, before = self.is_owner(lease), self.do(self.world.everything())
        stored = self.do(self.world.snapshots.read(SESSION))
        newest = stored.attempt
        self.hear()
        if not self.do(self.fake.exists(f"wa:snapshot:{SESSION}", f"wa:lease:{SESSION}")):
            # Given back before anything was written: for all that Redis knows, it was emptied.
            with pytest.raises(Forgotten):
                self.do(self.world.snapshots.save(lease, change(state, ending=ending)))
            assert self.do(self.world.everything()) == before
            return
        legal = newest == 0 or state in STEPS[stored.body.state] or (lease.token > newest and state in DEVICE)
        if owner and newest <= lease.token and not legal:
            with pytest.raises(IllegalStep):
                self.do(self.world.snapshots.save(lease, change(state, ending=ending)))
            assert self.do(self.world.everything()) == before
            return
        seq = self.do(self.world.snapshots.save(lease, change(state, ending=ending)))
        if owner and newest <= lease.token:
            assert seq
            assert self.do(self.world.snapshots.read(SESSION)).version == (lease.token, seq)
        else:
            assert seq is None
            assert self.do(self.world.everything()) == before
            assert self.do(self.ear.heard()) == []

    @rule(worker=WORKERS)
    def a_worker_begins_a_further_attempt(self, worker):
        lease = self.believed.get(worker)
        if lease is not None:
            owner = self.is_owner(lease)
            newer = self.do(self.world.leases.advance(lease))
            assert (newer is not None) is owner
            self.believed[worker] = newer or lease

    @rule(worker=WORKERS)
    def a_worker_beats(self, worker):
        lease = self.believed.get(worker)
        owner = lease is not None and self.is_owner(lease)
        if lease is not None and owner:
            self.do(self.world.leases.beat(worker, 1))
            looked = self.do(self.world.leases.look(worker, [lease]))
            assert SESSION not in looked.lost + looked.unknown
        elif lease is not None and self.do(self.fake.get(f"wa:lease:{SESSION}")) != lease.owner.encode():
            looked = self.do(self.world.leases.look(worker, [lease]))
            assert SESSION in looked.lost + looked.unknown

    @rule(worker=WORKERS)
    def a_worker_gives_back(self, worker):
        lease = self.believed.get(worker)
        if lease is not None:
            others = self.do(self.world.leases.owner(SESSION)) not in {None, worker}
            self.do(self.world.leases.release(lease))
            assert not others or self.do(self.world.leases.owner(SESSION)) is not None

    @rule()
    def time_passes_over_the_lease(self):
        self.do(self.world.lapse())

    @rule()
    def the_sweeper_begins_anew(self):
        owner = self.do(self.world.leases.owner(SESSION))
        if self.do(self.world.rescue.restart(SESSION, queued(Method.QR, "again"))):
            assert owner is None

    def hear(self):
        for news in self.do(self.ear.heard()):
            version = (news["attempt"], news["seq"])
            assert version > self.seen, "the version on the channel went back"
            self.seen = version

    @invariant()
    def versions_only_grow(self):
        if not hasattr(self, "ear"):
            return
        self.hear()
        version = self.do(self.world.snapshots.read(SESSION)).version
        assert version >= self.read
        assert version == self.seen, "what is stored is what was announced"
        self.read = version

    @invariant()
    def at_most_one_owns(self):
        owners = [lease for lease in self.believed.values() if isinstance(lease, Lease) and self.is_owner(lease)]
        assert len(owners) <= 1

    def teardown(self):
        if hasattr(self, "ear"):
            self.do(self.ear.__aexit__())
            self.do(self.fake.aclose(close_connection_pool=True))
        self.runner.close()


TestTwoWorkers = TwoWorkers.TestCase
TestTwoWorkers.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
