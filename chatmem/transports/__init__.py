"""The transports: the only modules that wait for a server. Each reaches a server in another way."""
