"""The program of an engine process, and of their parent."""

import sys
import types

# pydantic reads every installed package's description for plugins, of which there are none: 1 MB and 0.04 s.
sys.modules.setdefault("pydantic.plugin._loader", types.ModuleType("")).__dict__.setdefault("get_plugins", tuple)
