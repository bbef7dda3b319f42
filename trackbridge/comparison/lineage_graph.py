"""Lineage as a graph: what the compared runs build on, and from where they went on after an interruption."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from trackbridge.comparison.lineage import Descent
from trackbridge.store.records import RunRecord


@dataclass(frozen=True, slots=True)
class LineageNode:
    """A run, or several that build on the very same and went on from the same steps.

    `generation` is 0 for runs that nothing builds on, and for any other one more than the oldest that builds on it.
    `resumed_from` has the step that each later session went on from.
    """

    run_ids: tuple[str, ...]
    names: tuple[str, ...]
    generation: int
    resumed_from: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LineageLink:
    """The node `child` builds on the node `parent`, in the way that `descent` tells of one of its runs."""

    parent: int
    child: int
    descent: Descent


@dataclass(frozen=True, slots=True)
class LineageGraph:
    """Nodes, and links between their indices; the compared runs come first. Without any descent or resume, empty."""

    nodes: tuple[LineageNode, ...]
    links: tuple[LineageLink, ...]

    def parents(self, node: int) -> list[LineageLink]:
        """The links to what a node builds on."""
        return [link for link in self.links if link.child == node]


def lineage_graph(runs: Sequence[RunRecord], names: Sequence[str], lineage: Sequence[Descent]) -> LineageGraph:
    """The graph of some runs; `names` are theirs, made unique, and `lineage` is what `lineage_of` tells of them.

    Runs that build on nothing and were never resumed are a node of it too, beside those that are more than that.
    """
    resumed = {run.run_id: _resumed_from(run) for run in runs}
    if not lineage and not any(resumed.values()):
        return LineageGraph((), ())
    name_of = {one.builds_on_id: one.builds_on for one in lineage} | {one.run_id: one.run for one in lineage}
    name_of |= {run.run_id: name for run, name in zip(runs, names, strict=True)}
    members: dict[Hashable, list[str]] = {}
    for run_id, mark in _marks(lineage, resumed).items():
        members.setdefault(mark, []).append(run_id)
    node_of = {run_id: index for index, ids in enumerate(members.values()) for run_id in ids}
    # Runs of one node have equal links: what is told once is told of all.
    links = {(node_of[one.builds_on_id], node_of[one.run_id], one.role): one for one in lineage}
    generations = _generations(len(members), [(parent, child) for parent, child, _ in links])
    return LineageGraph(
        tuple(
            LineageNode(tuple(ids), tuple(name_of[run_id] for run_id in ids), generation, resumed.get(ids[0], ()))
            for ids, generation in zip(members.values(), generations, strict=True)
        ),
        tuple(LineageLink(parent, child, one) for (parent, child, _), one in links.items()),
    )


def _resumed_from(run: RunRecord) -> tuple[int, ...]:
    return tuple(session.from_step for session in run.sessions[1:] if session.from_step is not None)


def _marks(lineage: Sequence[Descent], resumed: Mapping[str, tuple[int, ...]]) -> dict[str, Hashable]:
    """By run id, what runs of one node share; a run that others build on is a node of its own."""
    built_on: dict[str, set[Hashable]] = {}
    for one in lineage:
        built_on.setdefault(one.run_id, set()).add((one.builds_on_id, one.role, one.step, one.sha256))
    marks: dict[str, Hashable] = {
        run_id: (frozenset(built_on.get(run_id, ())), steps) for run_id, steps in resumed.items()
    }
    for one in lineage:
        marks[one.builds_on_id] = one.builds_on_id
    return marks


def _generations(n_nodes: int, links: Sequence[tuple[int, int]]) -> list[int]:
    generations = [0] * n_nodes
    # As many rounds as there are nodes at most: a journal may claim that two runs build on each other.
    for _ in range(n_nodes):
        before = list(generations)
        for parent, child in links:
            generations[parent] = min(n_nodes - 1, max(generations[parent], generations[child] + 1))
        if generations == before:
            break
    return generations
