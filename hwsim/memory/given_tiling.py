"""A tiling in a user's words, checked against the layer that it is for."""

from __future__ import annotations

from hwsim.memory.tiling import ORDERS, Order, TileProblem, Tiling
from hwsim.spec import require
from hwsim.spec.errors import within


def tiling_of(
    problem: TileProblem, order: Order, height: int, width: int, channels: int, products: int | None
) -> Tiling:
    """Return a tiling, of any legal sizes: also of those that the search leaves out because others are as good.

    Parameters
    ----------
    problem
        The layer.
    order, height, width
        As of `Tiling`.
    channels
        Output channels of a tile: whole columns of the array, or whole groups, or all.
    products
        Products of a part along K, fewer than all, in the order ``outputs``; in the others all of K, or None.

    Raises
    ------
    InputError
        Naming the field and what is allowed.
    """
    legal = _orders(problem)
    require(order in legal, "order", f"{' or '.join(legal)} for this layer and array", order)
    for field, size, most in zip(("height", "width"), (height, width), problem.sliding.output, strict=True):
        require(within(size, range(1, most + 1)), field, f"an integer from 1 to {most}, the output's", size)
    unit, every = min(problem.unit_channels, problem.channels), problem.channels
    units = f"a multiple of {unit} below {every}, or {every}, all of them"
    if order == "outputs":
        require(channels == unit, "channels", f"{unit}, a column of the array, in the order outputs", channels)
        require(
            height * width <= problem.accumulators, "height * width",
            f"at most {problem.accumulators}, the array's accumulators, in the order outputs", height * width,
        )  # fmt: skip
        step = problem.product_step
        require(
            products is not None and within(products, range(step, problem.products)) and products % step == 0,
            "products", f"a multiple of {step} below {problem.products} in the order outputs", products,
        )  # fmt: skip
        assert products is not None
        return Tiling(order, height, width, 1, products)
    whole = within(channels, range(1, every + 1)) and (channels % unit == 0 or channels == every)
    require(whole, "channels", units, channels)
    require(
        products in (None, problem.products), "products", f"{problem.products}, or left out, in the order {order}",
        products,
    )  # fmt: skip
    return Tiling(order, height, width, -(-channels // problem.unit_channels), problem.products)


def _orders(problem: TileProblem) -> tuple[Order, ...]:
    if problem.groups > 1 or not problem.products:
        return ("weights",)
    # All products in one part are the order of activations.
    return ORDERS if problem.accumulators and problem.products > problem.product_step else ORDERS[:2]
