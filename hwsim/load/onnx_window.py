"""Sliding windows from ONNX's attributes: pads, auto_pad, strides, dilations, ceil_mode."""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.load.onnx_call import Call
from hwsim.ops import Padding, Window
from hwsim.spec import require

MAX_STEP = 65535
"""Largest stride or dilation: more than any image has, and addresses still fit 64 bits."""

_AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def window_of(call: Call, kernel: tuple[int, int], image: Sequence[int]) -> Window:
    """Return the window of a convolution or a pooling over an image of (height, width).

    With ``ceil_mode`` a last window may reach over the edge; it becomes padding, which pooling leaves out.
    """
    require(min(kernel) >= 1, "kernel_shape", "1 or more in both directions", list(kernel))
    stride, dilation = call.pair("strides"), call.pair("dilations")
    for name, steps in (("strides", stride), ("dilations", dilation)):
        require(all(1 <= step <= MAX_STEP for step in steps), name, f"from 1 to {MAX_STEP}", list(steps))
    window = Window(kernel, stride, dilation, _padding(call, kernel, image, stride, dilation))
    if not call.integer("ceil_mode", 0):
        return window
    extra = overhang(window, image)
    counted = call.proto.op_type == "AveragePool" and call.integer("count_include_pad", 0)
    require(
        not (counted and any(extra)), "ceil_mode", "0 with count_include_pad where a window reaches over the edge", 1
    )
    padding = window.padding
    return Window(
        kernel,
        stride,
        dilation,
        Padding(padding.top, padding.bottom + extra[0], padding.left, padding.right + extra[1]),
    )


def overhang(window: Window, image: Sequence[int]) -> tuple[int, int]:
    """Return by how many (rows, columns) the windows that ``ceil_mode`` adds reach over the padded image."""
    padding = window.padding
    befores, afters = (padding.top, padding.left), (padding.bottom, padding.right)
    extra = []
    for axis in (0, 1):
        reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1
        padded = image[axis] + befores[axis] + afters[axis]
        last = -(-(padded - reach) // window.stride[axis]) * window.stride[axis]
        # A window that starts beyond the image and its leading padding is left out.
        if last >= image[axis] + befores[axis]:
            last -= window.stride[axis]
        extra.append(max(last + reach - padded, 0))
    return extra[0], extra[1]


def _padding(
    call: Call, kernel: tuple[int, int], image: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Padding:
    auto = call.text("auto_pad", "NOTSET")
    require(auto in _AUTO_PADS, "auto_pad", f"one of {', '.join(_AUTO_PADS)}", auto)
    pads = call.attribute("pads")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        require(not pads or not any(pads), "pads", f"left out with auto_pad={auto}", pads)
        for size, taps, step, spread in zip(image, kernel, stride, dilation, strict=True):
            unread = size - (-(-size // step) - 1) * step - (taps - 1) * spread - 1
            # TensorFlow pads nothing then, ONNX Runtime crops on both sides, ONNX's text allows both.
            require(unread < 2, "auto_pad", "NOTSET where the stride leaves out two or more lines at the edge", auto)
        return Padding.same(image, kernel, stride, dilation, extra_first=auto == "SAME_LOWER")
    if auto == "VALID" or not pads:
        return Padding()
    require(len(pads) == 4, "pads", "four integers (only 2-D windows are supported)", list(pads))
    top, left, bottom, right = (int(size) for size in pads)
    return Padding(top, bottom, left, right)
