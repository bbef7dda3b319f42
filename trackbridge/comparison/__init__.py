"""Comparison: what differs between runs, which are replicates, and how they score. Pure functions over records."""

from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.diff import RunDiff, diff_runs
from trackbridge.comparison.groups import ReplicateGroup, replicate_groups

__all__ = ["Comparison", "ReplicateGroup", "RunDiff", "compare", "diff_runs", "replicate_groups"]
