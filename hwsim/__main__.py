"""`python -m hwsim`: the command line, where the folder of scripts is not on the path."""

from hwsim.cli.main import main

main()
