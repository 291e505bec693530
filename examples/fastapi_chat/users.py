"""Signing in: a name, in a signed cookie that scripts cannot read. No password: put your own authentication here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, StringConstraints

router = APIRouter(tags=["users"])


def signed_in(request: Request) -> str:
    """Return the user's id, which is the name."""
    user: str | None = request.session.get("user")
    if user is None:
        raise HTTPException(401, "Sign in first.")
    return user


User = Annotated[str, Depends(signed_in)]


class Named(BaseModel):
    """Who signs in."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60)]


@router.get("/me")
def me(user: User) -> Named:
    """Say who is signed in."""
    return Named(name=user)


@router.post("/sign-in")
def sign_in(named: Named, request: Request) -> Named:
    """Sign in; whose name is given is not asked."""
    request.session["user"] = named.name
    return named


@router.post("/sign-out", status_code=204)
def sign_out(request: Request) -> None:
    """Sign out: the cookie goes."""
    request.session.clear()
