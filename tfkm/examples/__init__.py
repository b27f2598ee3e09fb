"""Programs to read and to run: `python -m tfkm.examples.mnist`."""
