"""The documentation. What can be derived from the code is: see docs/generate."""
