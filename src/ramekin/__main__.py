"""`python -m ramekin` is `ramekin`."""

from ramekin.cli import main

if __name__ == "__main__":
    main()
