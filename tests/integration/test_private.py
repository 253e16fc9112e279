"""A process of ours keeps to itself what it writes, and leaves no core dump."""

import re
from pathlib import Path


async def test_web_makes_files_for_its_user_alone_and_no_cores(web):
    status = Path(f"/proc/{web.process.pid}/status").read_text()
    limits = Path(f"/proc/{web.process.pid}/limits").read_text()
    assert re.search(r"^Umask:\s*0077$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert re.search(r"Max core file size +1 +1 ", limits)
