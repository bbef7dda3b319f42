"""Student's t, Fisher's F and the noncentral t, from scipy; the only module that imports it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from trackbridge.errors import MissingDependencyError


def t_quantile(probability: float, df: float) -> float:
    """The quantile of Student's t with `df` degrees of freedom."""
    return float(_special().stdtrit(df, probability))


def t_two_sided_p(t: float, df: float) -> float:
    """The probability of a |t| as large as this one, or larger."""
    return float(2 * _special().stdtr(df, -abs(t)))


def f_quantile(probability: float, df_between: float, df_within: float) -> float:
    """The quantile of Fisher's F."""
    return float(_special().fdtri(df_between, df_within, probability))


def f_upper_p(ratio: float, df_between: float, df_within: float) -> float:
    """The probability of an F as large as this one, or larger."""
    return float(_special().fdtrc(df_between, df_within, ratio))


def noncentral_t_cdf(t: float, df: float, noncentrality: float) -> float:
    """The distribution function of the noncentral t."""
    return float(_special().nctdtr(df, noncentrality, t))


def _special() -> ModuleType:
    try:
        return import_module("scipy.special")
    except ImportError as error:
        raise MissingDependencyError.for_extra("the statistics of a comparison", "scipy", "compare") from error
