"""The producer: a run, how it begins and ends, its seeds, environment, media and checkpoints."""
