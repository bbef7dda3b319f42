"""Statistics of a few numbers: intervals, tests, power. Pure functions; scipy is loaded by the first that needs it."""
