"""The operations on sessions, as coroutines that await nothing but a transport."""
