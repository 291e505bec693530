"""Subscriptions: what is published on a channel, received by asyncio, by blocking code, or replaced by polling."""

from chatmem.transports.listening.blocking import BlockingSubscription
from chatmem.transports.listening.hub import Hub
from chatmem.transports.listening.mailbox import Mailbox
from chatmem.transports.listening.polling import Polling

__all__ = ["BlockingSubscription", "Hub", "Mailbox", "Polling"]
