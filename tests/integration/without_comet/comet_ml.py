"""In place of Comet's SDK, for processes that only train: transformers imports it wherever it is installed.

That takes as long as torch and transformers together.
"""

raise ImportError("left out by the tests: this process trains and delivers to nobody")
