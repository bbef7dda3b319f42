"""What the columns of a table are: told by the user, or by a name that leaves no doubt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias, cast, get_args

from trackbridge.errors import MisuseError, nearest

Role: TypeAlias = Literal["step", "epoch", "time", "run", "config", "skip"]
"""What a column is that is no metric; `skip` leaves it out."""

_BY_NAME: dict[str, Role] = {
    **dict.fromkeys(("step", "_step", "global_step", "iteration", "iter"), "step"),
    "epoch": "epoch",
    **dict.fromkeys(("time", "timestamp", "_timestamp", "wall_time", "datetime"), "time"),
    **dict.fromkeys(("run", "run_id", "run_name"), "run"),
}
# Seconds since 1970 have 10 digits until the year 2286, milliseconds 13, microseconds 16, nanoseconds 19.
_UNITS = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (float("inf"), 1))


class Columns:
    """The role of each column, and under which name a metric is kept."""

    def __init__(self, names: Iterable[str], told: Mapping[str, str]) -> None:
        """`told` maps a column to a role, or to the name that its metric gets.

        Raises:
            MisuseError: a column is told of that is not there, or two are the step (or the time, ...).
        """
        self.names = list(names)
        for name in told:
            if name not in self.names:
                raise MisuseError(f"there is no column {name!r}{nearest(name, self.names)}")
        meant = {name: told.get(name) or self._guess(name, told) for name in self.names}
        self.role = {name: cast(Role, word) for name, word in meant.items() if word in get_args(Role)}
        self.metric = {name: word for name, word in meant.items() if name not in self.role}
        for role in ("step", "epoch", "time", "run"):
            same = [name for name, word in self.role.items() if word == role]
            if len(same) > 1:
                raise MisuseError(f"the columns {', '.join(same)} are each {role!r}: say --column {same[1]}=skip")

    @staticmethod
    def _guess(name: str, told: Mapping[str, str]) -> str:
        role = _BY_NAME.get(name.strip().lower())
        return name if role is None or role in told.values() else role

    def of(self, role: Role) -> str | None:
        """The column with a role, where there is one."""
        return next((name for name, word in self.role.items() if word == role), None)


def number_in(cell: Any) -> float | None:
    """The number in a cell; None for an empty one, a bool and any other text."""
    # Python reads 1_000 as a number, nobody else does.
    if isinstance(cell, bool) or cell is None or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def nanoseconds_in(cell: Any) -> int | None:
    """The time in a cell, from ISO 8601 (UTC where it names no zone) or a number since 1970; None for anything else.

    A number is in seconds, milli-, micro- or nanoseconds, whichever puts it between the years 1973 and 2286.
    """
    number = number_in(cell)
    if number is not None:
        if not math.isfinite(number):
            return None
        unit = next(unit for limit, unit in _UNITS if abs(number) < limit)
        # Of an int that came as text all digits count; a float of nanoseconds would lose the last three.
        whole = int(cell) if str(cell).strip().isdigit() else int(number)
        return whole * unit + round((number % 1) * unit)
    try:
        moment = datetime.fromisoformat(str(cell).strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    since = aware - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
