"""The web version that this worker claims: chosen, found, and put into the library."""
