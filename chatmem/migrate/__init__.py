"""Moving conversations from other classes' layouts into chatmem's own; see `chatmem migrate`."""
