"""Recipes of torchao's quantization after training (PT2E): which tensors are quantized, and how. By name."""

from __future__ import annotations

from typing import Any

RECIPES = {
    "xnnpack": "int8, weights per channel; what enters and leaves every operator",
    "xnnpack_per_tensor": "the same, one scale for the weights of a layer",
    "xnnpack_integer_bias": "as xnnpack, biases as int32 in steps of the sums",
    "x86": "uint8, weights int8 per channel; floats stay between some operators",
}


def quantizer(recipe: str) -> Any:
    """Return torchao's quantizer."""
    if recipe == "x86":
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        return x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    made = _integer_bias() if recipe == "xnnpack_integer_bias" else xnnpack.XNNPACKQuantizer()
    per_channel = recipe != "xnnpack_per_tensor"
    return made.set_global(xnnpack.get_symmetric_quantization_config(is_per_channel=per_channel))


def _integer_bias() -> Any:
    """Return a quantizer that derives a bias's steps from those of input and weights, as torchao's tutorial does."""
    import torch
    from torchao.quantization.pt2e.quantizer import DerivedQuantizationSpec
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    aten = torch.ops.aten

    def steps_of_sums(pairs: Any) -> Any:
        (source, _), (weights, zeros) = (observer.calculate_qparams() for observer in pairs)
        return source * weights, torch.zeros_like(zeros)

    class IntegerBias(xnnpack.XNNPACKQuantizer):
        def annotate(self, model: Any) -> Any:
            model = super().annotate(model)
            for node in model.graph.nodes:
                if node.target not in (aten.conv2d.default, aten.linear.default) or len(node.args) < 3:
                    continue
                source, weights, bias = node.args[:3]
                if bias is not None:
                    node.meta["quantization_annotation"].input_qspec_map[bias] = DerivedQuantizationSpec(
                        derived_from=[(source, node), (weights, node)],
                        derive_qparams_fn=steps_of_sums,
                        dtype=torch.int32,
                        quant_min=-(2**31),
                        quant_max=2**31 - 1,
                        qscheme=torch.per_channel_symmetric,
                        ch_axis=0,
                    )
            return model

    return IntegerBias()
