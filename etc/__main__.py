"""``python -m etc``: the command ``etc``."""

from etc.cli import main

if __name__ == "__main__":
    main()
