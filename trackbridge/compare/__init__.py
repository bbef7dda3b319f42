"""Comparison: what differs between runs, which are replicates, and how they score. Pure functions over records."""

import sys
from types import ModuleType

from trackbridge.compare.comparison import Comparison, compare
from trackbridge.compare.diff import RunDiff, diff_runs
from trackbridge.compare.groups import ReplicateGroup, replicate_groups

__all__ = ["Comparison", "ReplicateGroup", "RunDiff", "compare", "diff_runs", "replicate_groups"]


class _CallablePackage(ModuleType):
    # Importing any module of this package makes `trackbridge.compare` the package and not the function
    # of that name: calling either has to compare.
    __call__ = staticmethod(compare)


sys.modules[__name__].__class__ = _CallablePackage
