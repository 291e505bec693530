"""Takes apart and builds models of pydantic v2 and v1, without validation.

A model's plain data is a dict of its fields and extra fields by their names, not their aliases. A root model's is its
root. Stored beside it are the names of fields that were not set, and private attributes.
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic import BaseModel, RootModel
from pydantic_core import PydanticUndefined

from chatmem.codec.taking import Rest, Writer, dict_of, names_in

_UNSET, _PRIVATE = "u", "p"
_new, _set = object.__new__, object.__setattr__
(
    _set_fields_set,
    _set_extra,
    _set_private,
) = (  # the slots' descriptors: RootModel has attributes of these names
    BaseModel.__dict__[name].__set__
    for name in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def is_model(cls: type[Any]) -> bool:
    """Return whether a class is a pydantic v2 model."""
    return BaseModel in cls.__mro__


def take_model(writer: Writer, value: BaseModel) -> tuple[Any, Rest]:
    """Return a model's fields, and whatever else makes an equal model.

    Fields with `exclude=True` and private attributes are left out if they cannot be stored: models keep clients and
    locks in them.
    """
    fields = type(value).model_fields
    held = {name: item for name, item in value.__dict__.items() if name in fields}
    hidden = {name: item for name, item in held.items() if fields[name].exclude}
    storable = writer.storable(hidden)
    kept = {name: item for name, item in held.items() if name not in hidden or name in storable}
    kept |= value.__pydantic_extra__ or {}
    rest: Rest = {}
    if unset := sorted(kept.keys() - value.__pydantic_fields_set__):
        rest[_UNSET] = writer.write(unset)
    if value.__pydantic_private__ and (private := writer.storable(value.__pydantic_private__)):
        rest[_PRIVATE] = private
    return writer.write(kept["root"]) if isinstance(value, RootModel) else writer.fields(kept), rest


def build_model(cls: type[BaseModel], plain: Any, rest: Rest) -> BaseModel:
    """Return the model. Fields that are new in its class get their defaults; fields that it lost are dropped.

    Raises:
        ValueError: the stored fields do not fit the class, or the object would be dangerous to build from a record.
    """
    values = {"root": plain} if issubclass(cls, RootModel) else dict_of(plain)
    _refuse_what_acts(cls, values)
    fields, allows_extra = cls.model_fields, cls.model_config.get("extra") == "allow"
    if fields.keys() - values.keys() and cls.__module__.startswith("langchain_core."):
        made = cls.model_validate(values)  # LangChain's prompts compute fields that they do not dump
        computed = made.model_fields_set - values.keys()
    else:
        made, computed, held = _new(cls), set(), {name: item for name, item in values.items() if name in fields}
        for name in fields:
            if name not in held:
                held[name] = default_of(cls, name, held)
        _set(made, "__dict__", held)
    extra = {name: item for name, item in values.items() if name not in fields} if allows_extra else None
    known = fields.keys() | (extra or {}).keys()
    _set_fields_set(made, computed | (values.keys() & known) - names_in(rest.get(_UNSET)))
    _set_extra(made, extra)
    _set_private(made, private_of(cls, rest.get(_PRIVATE), made.__dict__))
    return made


def _refuse_what_acts(cls: type[BaseModel], values: dict[str, Any]) -> None:
    """Refuse LangChain's objects that would run code or read a file that a record names."""
    if values.get("template_format") == "jinja2":
        raise ValueError("a jinja2 template, which could run code, is not built from a record")
    if cls.__name__ == "Blob" and values.get("path") is not None:
        raise ValueError("a blob with a path, which would read a file, is not built from a record")


def default_of(cls: type[BaseModel], name: str, values: dict[str, Any]) -> Any:
    """Return a field's default.

    Args:
        cls: the model's class.
        name: the field.
        values: the values of the other fields, from which a default factory may compute it.

    Raises:
        ValueError: the field is required, or its default factory fails.
    """
    field = cls.model_fields[name]
    if field.is_required():
        raise ValueError(f"{cls.__name__} has a required field {name!r} that the record lacks")
    return _default(cls, name, field, values)


def private_of(cls: type[BaseModel], given: dict[str, Any] | None, values: dict[str, Any]) -> dict[str, Any] | None:
    """Return a model's private attributes: the given ones, and the defaults of the others.

    Args:
        cls: the model's class.
        given: private attributes.
        values: the values of all fields, from which a default factory may compute an attribute.

    Raises:
        ValueError: a default factory fails.
    """
    if not cls.__private_attributes__:
        return None
    made = dict[str, Any]()
    for name, attribute in cls.__private_attributes__.items():
        if name not in (given or {}):
            default = _default(cls, name, attribute, {**values, **made})
            made |= {} if default is PydanticUndefined else {name: default}
    return made | (given or {})


def _default(cls: type[BaseModel], name: str, item: Any, values: dict[str, Any]) -> Any:
    """Return the default of a field or private attribute."""
    if item.default_factory is None:
        return item.get_default()
    takes_values = getattr(item, "default_factory_takes_validated_data", False)  # pydantic has that since 2.10
    try:
        return item.default_factory(values) if takes_values else item.default_factory()
    except Exception as error:
        raise ValueError(f"the default of {cls.__name__}'s {name!r} raised {type(error).__name__}") from error


def is_first_model(cls: type[Any]) -> bool:
    """Return whether a class is a pydantic v1 model, from `pydantic.v1`."""
    module = sys.modules.get("pydantic.v1.main")
    return module is not None and module.BaseModel in cls.__mro__


def take_first_model(writer: Writer, value: Any) -> tuple[Any, Rest]:
    """Return a model's fields, and whatever else makes an equal model; see `take_model`."""
    held: dict[str, Any] = value.__dict__
    rest: Rest = {}
    if unset := sorted(held.keys() - value.__fields_set__):
        rest[_UNSET] = writer.write(unset)
    private = {name: getattr(value, name) for name in value.__private_attributes__ if hasattr(value, name)}
    if private and (storable := writer.storable(private)):
        rest[_PRIVATE] = storable
    return writer.write(held["__root__"]) if "__root__" in held else writer.fields(held), rest


def build_first_model(cls: Any, plain: Any, rest: Rest) -> Any:
    """Return the model; see `build_model`.

    Raises:
        ValueError: the stored fields do not fit the class.
    """
    values = {"__root__": plain} if "__root__" in cls.__fields__ else dict_of(plain)
    missing = [field for name, field in cls.__fields__.items() if name not in values]
    if any(field.required for field in missing):
        raise ValueError("the class has a required field that the record lacks")
    made = _new(cls)
    _set(made, "__dict__", {**values, **{field.name: field.get_default() for field in missing}})
    _set(made, "__fields_set__", values.keys() - names_in(rest.get(_UNSET)))
    made._init_private_attributes()
    private = rest.get(_PRIVATE, {})
    for name in cls.__private_attributes__:
        if name in private:
            _set(made, name, private[name])
    return made
