"""The `tfkm` command and `python -m tfkm`."""

from __future__ import annotations

from tfkm import cli


def main() -> None:
    """Runs the command line of this process and exits."""
    cli.run(cli.tfkm_command, "tfkm")


if __name__ == "__main__":
    main()
