"""The program of an engine process, and of their parent."""
