"""Networks that come with hwsim, each with the recipe that made it; see README.md in this folder."""
