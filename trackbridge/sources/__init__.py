"""Sources: readers of what other trackers wrote, and the import that makes journals of it."""
