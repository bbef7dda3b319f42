"""Names to sources: the built-in ones, and those that other packages register under `trackbridge.sources`."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from trackbridge.errors import NotFoundError, nearest
from trackbridge.sources.base import Source

ENTRY_POINT_GROUP = "trackbridge.sources"
# In the order in which they are asked whether they know a place: those with a format of their own first.
BUILT_IN = {
    "wandb": "trackbridge.sources.wandb:WandbSource",
    "neptune": "trackbridge.sources.neptune:NeptuneSource",
    "neptune_export": "trackbridge.sources.neptune_export:NeptuneExportSource",
    "comet": "trackbridge.sources.comet:CometSource",
    "mlflow": "trackbridge.sources.mlflow:MlflowSource",
    "trackio": "trackbridge.sources.trackio:TrackioSource",
    "tensorboard": "trackbridge.sources.tensorboard:TensorboardSource",
    "trainer_state": "trackbridge.sources.trainer_state:TrainerStateSource",
    "table": "trackbridge.sources.tabular:TabularSource",
}


def source_names() -> list[str]:
    """Every source that can be asked for by name: the built-in ones and those of installed packages."""
    return list(dict.fromkeys([*BUILT_IN, *sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))]))


def load_source(name: str) -> Source:
    """The source of this name.

    Raises:
        NotFoundError: there is none; names the known ones and the likeliest one meant.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        built_in: Source = getattr(import_module(module), attribute)()
        return built_in
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            third_party: Source = point.load()()
            return third_party
    raise NotFoundError(f"no source named {name!r}{nearest(name, source_names())}")


def find_source(place: str) -> Source:
    """The source that recognises a place.

    Raises:
        NotFoundError: the place does not exist, or none recognises it.
    """
    if "://" not in place and not Path(place).exists():
        raise NotFoundError(f"there is nothing at {place!r} to import")
    for name in source_names():
        source = load_source(name)
        if source.recognises(place):
            return source
    known = ", ".join(source_names())
    raise NotFoundError(f"no source recognises {place!r}: say what it is with --from (one of {known})")
