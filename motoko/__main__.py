"""``python -m motoko``: the same as the ``motoko`` command."""

from motoko.cli.main import main

if __name__ == "__main__":
    main()
