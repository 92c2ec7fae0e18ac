"""The command line: thin modules that read options, call `hwsim.sim`, and print."""
