"""`python -m trackbridge` is the command `trackbridge`."""

from trackbridge.cli.main import run

if __name__ == "__main__":
    run()
