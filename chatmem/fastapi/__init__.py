"""The back end of a chat for FastAPI: `router` gives its routes."""

from chatmem.extras import needed

with needed("chatmem.fastapi needs", "fastapi", "fastapi"):
    from chatmem.fastapi.routing import router

__all__ = ["router"]
