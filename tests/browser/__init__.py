"""Tests of the web page in a browser, which runs for as long as tests of this package do, and no longer."""
