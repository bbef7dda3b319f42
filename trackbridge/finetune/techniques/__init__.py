"""The stabilising techniques, one module each, with its source named; `preparation` and `train` put them together."""
