"""``python -m thalweg`` is the command line."""

from thalweg.cli import main

main()
