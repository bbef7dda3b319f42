"""The web page of a root: the server reads, compares and draws; the browser shows and asks."""
