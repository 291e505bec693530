"""Files that conversations are exported to and imported from."""
