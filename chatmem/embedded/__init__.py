"""The embedded Valkey server, for users without a server of their own."""
