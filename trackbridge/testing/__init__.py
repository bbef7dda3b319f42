"""The public test kit: what a test of trackbridge, or of a program that uses it, can build on."""
