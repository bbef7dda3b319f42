"""The vocabulary: what can happen to a run, and the rules for names, values and secrets. No I/O here."""
