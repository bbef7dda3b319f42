"""
Names to adapters: the built-in ones, and those that other packages register under `trackbridge.adapters`.

Discovering a name costs nothing; only the adapter that is asked for is imported.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.shaping import told_if_untested
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


def told_of_version(adapter: Adapter) -> str:
    """What to add to a complaint of this adapter: a sentence, when its SDK's version was never tested."""
    capabilities = adapter.capabilities
    if capabilities.sdk is None or capabilities.tested_versions is None:
        return ""
    try:
        told = told_if_untested(capabilities.sdk, version(capabilities.sdk), capabilities.tested_versions)
    except PackageNotFoundError:
        return ""
    return f". {told}" if told else ""


def _load(point: EntryPoint) -> type[Adapter]:
    try:
        adapter: type[Adapter] = point.load()
    except Exception as error:
        raise AdapterBug(f"adapter {point.name!r} ({point.value}) cannot be imported: {error}") from error
    return adapter
