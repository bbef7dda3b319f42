"""Bytes on disk: where journals lie, what a line looks like, how they are written, read and followed."""
