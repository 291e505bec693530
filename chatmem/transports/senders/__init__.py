"""How commands go over a redis.asyncio client: through multiplexers, or by the client's own methods."""

from chatmem.transports.senders.base import Client, Sender
from chatmem.transports.senders.choosing import sender_for

__all__ = ["Client", "Sender", "sender_for"]
