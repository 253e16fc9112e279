"""Stands in for the worker: says where Redis is, then does what FAKE_WORKER says: waits, or ends with that code."""

import os
import signal
import sys

print("redis at", os.environ["REDIS_URL"].rpartition("@")[2], flush=True)
if "FAKE_WORKER" in os.environ:
    sys.exit(int(os.environ["FAKE_WORKER"]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
