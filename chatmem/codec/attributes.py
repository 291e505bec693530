"""The attributes of objects beside their declared fields: those in `__dict__`, in slots, and those of C."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from types import MemberDescriptorType
from typing import Any
from weakref import WeakKeyDictionary

from chatmem.codec.taking import dict_of

_CACHED_HASH = "_attrs_cached_hash"
"""where attrs keeps a hash, which another process must make anew; None stands for none"""
_set, _get = object.__setattr__, object.__getattribute__


_slots: WeakKeyDictionary[type[Any], frozenset[str]] = WeakKeyDictionary()


def slots_of(cls: type[Any]) -> frozenset[str]:
    """Return the names of attributes that are stored in slots, in Python or in C."""
    slots = _slots.get(cls)
    if slots is None:
        members = ((name, member) for base in cls.__mro__ for name, member in vars(base).items())
        slots = frozenset(name for name, member in members if _is_slot(name, member))
        _slots[cls] = slots
    return slots


def _is_slot(name: str, member: Any) -> bool:
    return type(member) is MemberDescriptorType and not name.startswith("__")


def others_of(value: Any, names: Iterable[str] = ()) -> dict[str, Any]:
    """Return an object's attributes beside its fields, without dunder names and cached properties."""
    cls = type(value)
    others = {
        name: item
        for name, item in getattr(value, "__dict__", {}).items()
        if name not in names and _is_attribute(name) and not isinstance(getattr(cls, name, None), cached_property)
    }
    for name in sorted(slots_of(cls).difference(names)):
        try:
            others[name] = _get(value, name)
        except AttributeError:  # never set
            continue
    return others | {_CACHED_HASH: None} if _CACHED_HASH in others else others


def put_others(made: Any, others: Any) -> None:
    """Set attributes that `others_of` returned, without the class's own code.

    Raises:
        ValueError, TypeError, AttributeError: they do not fit the class.
    """
    slots = slots_of(type(made))
    for name, item in dict_of(others or {}).items():
        if name == _CACHED_HASH:
            continue
        if name in slots:
            _set(made, name, item)
        elif _is_attribute(name):
            made.__dict__[name] = item
    if _CACHED_HASH in slots:
        _set(made, _CACHED_HASH, None)
    elif _CACHED_HASH in (others or {}):
        made.__dict__[_CACHED_HASH] = None


def _is_attribute(name: str) -> bool:
    return name == "__notes__" or not name.startswith("__")
