"""Where the core waits: one file a way of reaching a server."""
