"""Moves conversations from other packages' layouts into chatmem's own, for `chatmem migrate`."""
