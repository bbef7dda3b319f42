"""
Names to adapters: the built-in ones, and those that other packages register under `trackbridge.adapters`.

Discovering a name costs nothing; only the adapter that is asked for is imported.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from trackbridge.adapters.base import Adapter
from trackbridge.errors import AdapterBug, NotFoundError, nearest
from trackbridge.targets import BUILT_IN, ENTRY_POINT_GROUP, adapter_names


def load_adapter(name: str) -> type[Adapter]:
    """The adapter of this name.

    Raises:
        NotFoundError: there is none; names the known ones and the likeliest one meant.
        AdapterBug: a third party's adapter cannot be imported.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        adapter: type[Adapter] = getattr(import_module(module), attribute)
        return adapter
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return _load(point)
    raise NotFoundError(f"no adapter named {name!r}{nearest(name, adapter_names())}")


def _load(point: EntryPoint) -> type[Adapter]:
    try:
        adapter: type[Adapter] = point.load()
    except Exception as error:
        raise AdapterBug(f"adapter {point.name!r} ({point.value}) cannot be imported: {error}") from error
    return adapter
