"""``python -m facefare``."""

from facefare.cli import main

if __name__ == "__main__":
    main()
