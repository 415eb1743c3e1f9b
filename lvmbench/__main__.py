"""``python -m lvmbench``."""

from lvmbench.cli import main

if __name__ == "__main__":
    main()
