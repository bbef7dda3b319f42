"""Adapters: each turns journaled events into one tracker's calls, online or in the tracker's own offline format."""
