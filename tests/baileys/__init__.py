"""Baileys, the second real client: installed once a machine, driven line by line. Needs Node; without it tests are skipped."""
