"""Where a memory is kept: from URLs and clients to transports."""
