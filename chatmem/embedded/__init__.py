"""A Valkey server of its own."""
