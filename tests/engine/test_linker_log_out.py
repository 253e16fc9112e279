"""A device that nobody will hold, logged out with the real library in a real process, against the emulator."""

from tests.engine.steps import GOOD_END, Steps, story, until
from workers.engine.devices import device_in
from workers.engine.protocol import Ended, Paired, Qr, Start


async def test_a_device_that_nobody_will_hold_is_logged_out_by_another_linker(steps: Steps):
    phone, database = steps.phone(), steps.database()
    linker = await steps.pool.take()
    await linker.send(Start(database=database))
    await phone.scan((await until(linker, Qr)).text)
    paired = await until(linker, Paired)
    await linker.kill()
    other = await steps.pool.take()
    await other.send(Start(database=database, jid=paired.jid, log_out=True))
    assert (await story(other))[-2:] == [Ended(reason="logged out"), GOOD_END]
    assert await phone.devices() == []
    assert not device_in(database, paired.jid)
