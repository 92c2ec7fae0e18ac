"""The folders of the package: two of the top level join it, which pyproject.toml cannot say while it finds the rest."""

from setuptools import find_packages, setup

MAPPED = {"hwsim.models": "models", "hwsim.rtl": "rtl"}

setup(packages=[*find_packages(include=["hwsim", "hwsim.*"]), *MAPPED], package_dir={"hwsim": "hwsim", **MAPPED})
