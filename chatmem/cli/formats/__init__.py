"""The formats of the files that conversations are exported to and imported from."""
