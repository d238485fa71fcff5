"""`python -m sparsecbm` is the command line."""

from sparsecbm.cli.app import main

main()
