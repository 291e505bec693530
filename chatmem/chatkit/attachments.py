"""The metadata of attachments, which ChatKit stores before they belong to a thread."""

from __future__ import annotations

from collections.abc import Callable

from chatkit.store import NotFoundError, Store, TContext
from chatkit.types import Attachment
from langchain_core.messages import HumanMessage
from pydantic import TypeAdapter

from chatmem.chatkit.items import ORIGIN, message_in
from chatmem.history import History
from chatmem.memory import ChatMemory

ATTACHMENTS = "chatkit:attachments:"
"""The beginning of the ids of sessions with attachments, one for each user. No thread can have such an id."""
_ATTACHMENT: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class Attachments(Store[TContext]):
    """The part of a store that keeps the metadata of a user's attachments, in a session of the user."""

    def __init__(self, memory: ChatMemory, user_of: Callable[[TContext], str]) -> None:
        """Make a store. No round trip.

        Args:
            memory: the memory that `chatmem.connect` returned.
            user_of: returns the user of a request's context, a non-empty string.
        """
        self._memory = memory
        self._user_of = user_of

    async def save_attachment(self, attachment: Attachment, context: TContext) -> None:
        """Store an attachment's metadata, or replace it. One round trip. The file itself is not chatmem's.

        Raises:
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        kept = {ORIGIN: _ATTACHMENT.dump_python(attachment, exclude_none=True)}
        await self._attachments(context).put(HumanMessage("", id=attachment.id, additional_kwargs=kept))

    async def load_attachment(self, attachment_id: str, context: TContext) -> Attachment:
        """Return an attachment's metadata. One round trip.

        Raises:
            NotFoundError: the user has no such attachment.
            UnavailableError: the server did not answer.
        """
        entry = await self._attachments(context).get(attachment_id) if attachment_id else None
        if entry is None:
            raise NotFoundError(f"Attachment {attachment_id} not found")
        return _ATTACHMENT.validate_python(message_in(entry).additional_kwargs[ORIGIN])

    async def delete_attachment(self, attachment_id: str, context: TContext) -> None:
        """Remove an attachment's metadata, if it is there. One round trip.

        Raises:
            UnavailableError: the server did not confirm; you can repeat the call.
        """
        if attachment_id:
            await self._attachments(context).delete(attachment_id)

    def _attachments(self, context: TContext) -> History:
        user = self._user_of(context)
        return self._memory.history(ATTACHMENTS + user, user=user)
