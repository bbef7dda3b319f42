"""
Comparison: what differs between runs, which are replicates, how they score, and what of it is real.

Pure functions over records.
"""

from trackbridge.comparison.comparison import Comparison, compare
from trackbridge.comparison.decision import Decision
from trackbridge.comparison.diff import RunDiff, diff_runs
from trackbridge.comparison.divergence import Divergence, first_divergence
from trackbridge.comparison.gate import Gate
from trackbridge.comparison.groups import ReplicateGroup, replicate_groups

__all__ = [
    "Comparison",
    "Decision",
    "Divergence",
    "Gate",
    "ReplicateGroup",
    "RunDiff",
    "compare",
    "diff_runs",
    "first_divergence",
    "replicate_groups",
]
