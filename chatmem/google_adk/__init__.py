"""Google's Agent Development Kit (ADK): a session service that stores events and state with chatmem."""

from chatmem.extras import needed

with needed("chatmem.google_adk needs", "google-adk", "google"):
    from chatmem.google_adk.service import ChatmemSessionService

__all__ = ["ChatmemSessionService"]
