"""docs/performance.md: how cost grows, out of bench/growth.json, and what it would be for far more companies. One file, as it is one
document.
"""

import json
from typing import Any

from bench import figures
from bench.result import number
from docs.generate.markdown import document, generated_from, table

Part = dict[str, Any]

SCALES = (1_000, 10_000, 100_000, 1_000_000)
TEXTS_OUT, TEXTS_IN, ONBOARDINGS = 100, 100, 0.01
"""Assumed of a company and a day."""
PEAK = 4.0
"""Assumed: the busiest minute over the mean."""
HELD = 1_000
"""Sessions of a worker: the most that it takes."""
FULL = 0.5
"""Of a core: a Redis with more has no room for a bad day."""
SECONDS = 86_400
PARTS = {
    "workers": (
        "## Workers",
        (
            "Linkings a minute with engines that only pretend, in which the owner takes two seconds at the phone: what is measured is "
            "our own part. `python -m bench.growth --only workers`"
        ),
        "![Linkings a minute over workers](figures/growth-workers.svg)",
        {
            "workers": "workers",
            "places": "places each",
            "per_minute": "linkings/min",
            "worker_ms": "processor of workers, ms each",
            "redis_ms": "of Redis, ms each",
            "commands": "commands in Redis, each",
            "load": "load beside it",
        },
    ),
    "sessions": (
        "## Sessions of one worker",
        "The unmodified library, idle sessions. `python -m bench.growth --only sessions`",
        "![Memory of a worker over held sessions](figures/growth-sessions.svg)",
        {
            "sessions": "sessions",
            "worker_mb": "worker, MB",
            "processes": "processes",
            "threads": "threads",
            "descriptors": "descriptors",
            "worker_processor": "processor, % of a core",
            "redis_commands": "commands in Redis, /s",
            "redis_mb": "Redis, MB",
            "started_seconds": "all online, s after the start",
            "load": "load beside it",
        },
    ),
    "fleet": (
        "## A fleet",
        (
            "150 sessions a worker, as on 512 MB, with engines that only pretend, at rest, on one Redis and one Postgres. "
            "`python -m bench.growth --only fleet`"
        ),
        "![Redis' share of a core over sessions, at rest](figures/growth-fleet.svg)",
        {
            "sessions": "sessions",
            "workers": "workers",
            "redis_processor": "Redis, % of a core",
            "redis_commands": "commands, /s",
            "redis_traffic": "traffic, KB/s",
            "redis_connections": "connections",
            "redis_mb": "Redis, MB",
            "postgres_processor": "Postgres, % of a core",
            "postgres_connections": "connections",
            "worker_processor": "a worker, % of a core",
            "worker_mb": "a worker, MB",
            "taken_up": "all taken up, s",
            "load": "load beside it",
        },
    ),
    "costs": (
        "## What each thing costs",
        (
            "Processor time in ms, beyond what passes at rest, with the unmodified library and Postgres. "
            "`python -m bench.growth --only costs`"
        ),
        "",
        {
            "what": "",
            "count": "measured",
            "web": "web",
            "worker": "worker",
            "redis": "Redis",
            "postgres": "Postgres",
            "commands": "commands in Redis, those of scripts too",
            "load": "load beside it",
        },
    ),
}
SHARES = {"redis_processor", "postgres_processor", "worker_processor"}


def page() -> str:
    """The whole document."""
    growth = json.loads(figures.GROWTH.read_text(encoding="utf-8")) if figures.GROWTH.exists() else {}
    return document(
        "# Performance, and how cost grows",
        generated_from("bench/growth.json", "bench/results.json"),
        "Measured by `python -m bench.growth`, most of an hour; what one request takes, and how fast a fleet recovers, is in "
        "[measured.md](measured.md); sizes of hosts are in [deploy.md](deploy.md). Nothing here was measured against the real "
        "WhatsApp: the library is the real one, its server is the [emulator](../emulator/README.md). Counts, processor time and memory hardly depend on what else the machine "
        "does; linkings a minute and seconds are waits, and do. So the load of the machine, this command's own in it, stands beside each.",
        *(part for name in PARTS for part in _part(name, growth.get(name, []))),
        *(
            part
            for tell in (_company, _beyond)
            if growth.keys() >= {"sessions", "fleet", "costs"}
            for part in tell(growth)
        ),
    )


def _part(name: str, part: list[Part]) -> tuple[str, ...]:
    if not part:
        return ()
    head, said, figure, columns = PARTS[name]
    rows = [[_cell(column, point[column]) for column in columns] for point in part]
    return head, said, figure, table(list(columns.values()), rows), f"{figures.source(one['of'] for one in part)}."


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if column in SHARES:
        return number(value * 100)
    return f"{value:,}" if isinstance(value, int) else number(value)


def _company(growth: dict[str, list[Part]]) -> tuple[str, ...]:
    """The cost of a company that does nothing, and of one that writes."""
    costs = {one["what"]: one for one in growth["costs"]}
    few, many = growth["sessions"][0], growth["sessions"][-1]
    fleet, small = growth["fleet"][-1], growth["fleet"][-2]

    def more(name: str, last: Part, first: Part) -> float:
        return float((last[name] - first[name]) / (last["sessions"] - first["sessions"]))

    idle = {
        "web": 0.0,
        "worker": more("worker_processor", many, few) * SECONDS,
        **{name: more(f"{name}_processor", fleet, small) * SECONDS for name in ("redis", "postgres")},
        "commands": more("redis_commands", fleet, small) * SECONDS,
    }
    texts = {
        name: (TEXTS_OUT * costs["text out"][name] + TEXTS_IN * costs["text in"][name])
        / (1 if name == "commands" else 1000)
        for name in idle
    }
    rows = [
        [what, *(f"{spent[name]:,.0f}" if name == "commands" else number(spent[name]) for name in idle)]
        for what, spent in (
            ("linked, and nothing happens", idle),
            (f"{TEXTS_OUT} texts out and {TEXTS_IN} in, besides", texts),
        )
    ]
    return (
        "## What a company costs in a day",
        (
            "**Calculated** from the tables above. Seconds of processor, and commands in Redis, those of scripts too. A session takes "
            f"{more('worker_mb', many, few):.2f} MB of its worker while it is idle{_busy_mb()}, and {fleet['redis_mb'] * 1024 / fleet['sessions']:.1f} KB of Redis."
        ),
        table(["", "web", "worker", "Redis", "Postgres", "commands"], rows),
    )


def _busy_mb() -> str:
    """The memory that B12 found, as a part of a sentence; nothing if it was not measured."""
    rows = json.loads(figures.RESULTS.read_text(encoding="utf-8"))["rows"] if figures.RESULTS.exists() else []
    lines = {line["what"]: line["value"] for row in rows if row["row"] == "B12" for line in row["lines"]}
    found = lines.get("memory a session, at the end")
    return (
        ""
        if found is None
        else f", {found:.2f} MB after ten minutes with four texts in a minute (B12, all processes included)"
    )


def _beyond(growth: dict[str, list[Part]]) -> tuple[str, ...]:
    """Arithmetic with what was measured."""
    costs = {one["what"]: one for one in growth["costs"]}
    few, many = growth["sessions"][0], growth["sessions"][-1]
    fleet, small = growth["fleet"][-1], growth["fleet"][-2]
    more = many["sessions"] - few["sessions"]
    each_mb = (many["worker_mb"] - few["worker_mb"]) / more
    each_processor = (many["worker_processor"] - few["worker_processor"]) / more
    worker_mb = few["worker_mb"] + each_mb * (HELD - few["sessions"])
    redis_kb = fleet["redis_mb"] * 1024 / fleet["sessions"]
    beside = (fleet["redis_processor"] - small["redis_processor"]) / (fleet["workers"] - small["workers"])
    connections = fleet["redis_connections"] / fleet["workers"]
    bouncers = fleet["postgres_connections"] / fleet["workers"]

    def a_day(part: str) -> float:
        """Seconds of processor of a company and a day."""
        out, into, link = costs["text out"], costs["text in"], costs["onboarding by QR"]
        return float((TEXTS_OUT * out[part] + TEXTS_IN * into[part] + ONBOARDINGS * link[part]) / 1000)

    busy = {part: a_day(part) / SECONDS * PEAK for part in ("web", "worker", "redis", "postgres")}
    rows = []
    for companies in SCALES:
        workers = max(2, -(-companies // HELD))
        redis = beside * workers + busy["redis"] * companies
        rows.append(
            [
                f"{companies:,}",
                f"{workers:,}",
                f"{workers * worker_mb / 1024:,.1f}",
                number(each_processor * companies + busy["worker"] * companies),
                number(busy["web"] * companies),
                number(redis),
                f"{max(1, -(-redis // FULL)):.0f}",
                number(companies * redis_kb / 1024**2),
                f"{workers * connections:,.0f}",
                number(busy["postgres"] * companies),
                f"{workers * bouncers:,.0f}",
            ]
        )
    full = FULL / (busy["redis"] + beside / HELD)
    return (
        "## For a hundred thousand, and a million",
        (
            "**Calculated**, from the tables above: "
            f"a session more is {each_mb:.2f} MB and {each_processor * 100:.3f} % of a core of its worker at rest; a worker more is "
            f"{beside * 100:.3f} % of a core of Redis at rest, {connections:.1f} connections to Redis and {bouncers:.1f} to Postgres; a linked company "
            f"is {redis_kb:.1f} KB in Redis. **Assumed** of each company and day: {TEXTS_OUT} texts out, {TEXTS_IN} in, an onboarding in a "
            f"hundred days; the busiest minute has {PEAK:.0f} times the mean; {HELD:,} sessions a worker."
        ),
        table(
            [
                "companies",
                "workers",
                "their memory, GB",
                "their cores",
                "cores of web",
                "cores of Redis",
                f"Redis primaries, at most {FULL:.0%} of a core each",
                "Redis, GB",
                "connections to Redis",
                "cores of Postgres",
                "connections to Postgres, at rest",
            ],
            rows,
        ),
        "### What breaks first",
        (
            f"One Redis: it does one thing at a time, and is half full with about {round(full, -3):,.0f} such companies. Then connections: {10_000 / connections:,.0f} workers "
            f"meet Redis' own limit of 10,000, and Postgres wants a pooler long before (each worker's PgBouncer gives back what it does not use, and opens `DATABASE_POOL` at most). Memory and "
            "processor of workers only want more workers. One thing is read whole by one worker: the list of registered devices, at each sweep."
        ),
        "### The layout that carries it",
        (
            "Cells. A cell is a deployment of its own as [deploy.md](deploy.md) has it: web, workers, one Redis primary with its replica, one "
            "Postgres behind a transaction pooler. A company belongs to one cell for ever, by a table or a hash in the integrator's own "
            "service, which asks that cell for the link; each cell has a `PUBLIC_URL` of its own, and webhooks name the company. Cells know nothing of "
            f"each other, so what was measured for {fleet['sessions']:,} sessions holds for each. `NAMESPACE` lets small cells share a Redis. "
            "A company moves to another cell as it moves in: [moving-in.md](moving-in.md)."
        ),
        "### What would have to hold",
        (
            "* WhatsApp lets so many linked devices log in from the addresses of one platform. Nobody has measured it here.\n"
            "* Real accounts are like the emulated ones: few chats. A busy session takes twice the memory ([deploy.md](deploy.md)).\n"
            f"* Costs stay linear beyond what was measured: {fleet['sessions']:,} sessions in one cell. A cell need not be larger.\n"
            "* A worker that dies takes 1,000 sessions with it; WhatsApp then sees as many log-ins within a minute or two.\n"
            "* Owners' clicks are spread like texts. A campaign that sends 10,000 owners at once waits for places: see *Workers*."
        ),
    )
