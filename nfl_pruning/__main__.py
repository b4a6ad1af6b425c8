"""``python -m nfl_pruning`` is the command line."""

from nfl_pruning.cli.main import main

if __name__ == "__main__":
    main()
