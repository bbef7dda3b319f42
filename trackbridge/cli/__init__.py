"""The command line: one file per family of commands, and `render` for how things look."""
