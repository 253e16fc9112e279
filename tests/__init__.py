"""The tests. A package by this file, since some libraries install a `tests` of their own."""
