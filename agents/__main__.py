"""`python -m agents` is `returnwatch`."""

from agents.cli import main

if __name__ == "__main__":
    main()
