"""The Redis client of a process. If a name of ours holds a value of a wrong type, the client throws the value away,
counts that, and repeats its command. The scripts do the same (shared/state/wa.lua)."""

from collections.abc import Sequence
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from shared.core import keys, odd
from shared.telemetry.metrics import Counter
from shared.wa import tell_odd

OURS = ("wa:", "arq:")


class ServiceRedis(ArqRedis):
    """Plain commands, and `pipeline`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if not odd.is_wrong(error) or not await self._throw_away(error, args):
                raise
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> "ServicePipeline":
        return ServicePipeline(self, transaction, shard_hint)

    async def _throw_away(self, error: ResponseError, command: Sequence[Any]) -> bool:
        """Remove the value that the command cannot work with. True if its name is one of ours."""
        name = odd.text(command[1]) if len(command) > 1 and isinstance(command[1], bytes | str) else ""
        if command[0] in {"EVAL", "EVALSHA"} or not name.startswith(OURS):
            return False
        removal = ("DEL", name) if "WRONGTYPE" in str(error) or command[0] != "HINCRBY" else ("HDEL", name, command[2])
        await super().execute_command(*removal)  # type: ignore[no-untyped-call]
        tell_odd(name)
        await self.execute_command("HINCRBY", keys.STATS, Counter.ODD_VALUES.value, 1)
        return True


class ServicePipeline(Pipeline):
    """Repeats alone each command that has met a wrong type."""

    def __init__(self, ours: ServiceRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(ours.connection_pool, ours.response_callbacks, transaction, shard_hint)
        self._ours = ours

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = list(self.command_stack)
        answers = await super().execute(raise_on_error=False)
        for place, answer in enumerate(answers):
            if isinstance(answer, ResponseError) and odd.is_wrong(answer):
                words, options = commands[place]
                answers[place] = await self._ours.execute_command(*words, **options)
            elif isinstance(answer, Exception) and raise_on_error:
                raise answer
        return answers
