"""The one exception that hwsim raises for what a user gave it."""


class InputError(Exception):
    """Something given to hwsim cannot be used: a model, a data set, an option, a specification.

    The message is one line in the house form "<field> must be <requirement>, not <value>"
    and names the file or node where there is one. The command line prints it as it is and
    exits with code 2; a library caller can catch it to tell bad input from a defect.
    """


def within(value: object, allowed: range) -> bool:
    """Whether a value is an integer (not a float that equals one, nor a boolean) in a range."""
    return type(value) is int and value in allowed


def require(condition: bool, field: str, requirement: str, value: object) -> None:
    """Raise `InputError` in the house form unless `condition` holds."""
    if not condition:
        raise InputError(f"{field} must be {requirement}, not {value}")
