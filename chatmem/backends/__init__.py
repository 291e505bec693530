"""Backends: where sessions are stored. Each module serves one kind of URL or client."""
