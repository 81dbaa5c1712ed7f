"""``python -m tracache``, and the command ``tracache``."""

import sys


def main() -> int:
    """Run the command line; return its exit status, 2 where its packages are not installed."""
    try:
        from tracache.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "tracache").startswith("tracache"):
            raise
        # The library does without them, so the package may be here and they not.
        print(
            f"tracache: the command line needs {error.name}, which is not installed: "
            "pip install 'tracache[demo]'",
            file=sys.stderr,
        )
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
