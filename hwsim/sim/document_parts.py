"""What the documents of `hwsim run` and `hwsim time` share: the model, the machine, and the time of layers and network."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Part(BaseModel):
    """A piece of a document: frozen, and nothing in it but its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelInfo(Part):
    """The network that ran."""

    name: str
    source_format: Literal["tflite", "onnx"]
    sha256: str
    input_shape: tuple[int, ...]
    parameters: int
    quantized_by: Literal["model", "hwsim"]


class QuantizationInfo(Part):
    """How the integers were chosen. Bits are None where layers differ."""

    scheme: str
    weight_bits: int | None
    activation_bits: int | None
    calibration_images: int
    outliers: str | None = None
    """Which weights are kept apart, in more bits."""


class AcceleratorInfo(Part):
    """The machine; texts are those of `hwsim.spec`."""

    name: str
    rows: int
    cols: int
    lanes: int
    multipliers: int
    dataflow: str
    clock_hz: float
    dram_bytes_per_cycle: float
    memory: str
    reduction: str
    requantization: str
    not_built: str
    """What the RTL refuses of this machine, so that its cycles are the model's only; empty where it can be built."""


class Traffic(Part):
    """Bytes per image on the DRAM bus, in whole bursts, by operand; results are written, all others read."""

    weights: int
    biases: int
    scales: int
    activations_in: int
    activations_out: int
    total: int
    outliers: int = 0
    """Weights kept apart, with their indices and pointers."""


class PortTraffic(Part):
    """Bytes per image across the array's ports, whole beats: what the buffers beside it read, and for results write."""

    weights: int
    activations: int
    outliers: int
    results: int
    total: int


class TilingInfo(Part):
    """How a layer is cut for the buffers."""

    order: Literal["weights", "activations", "outputs"]
    """What the outer loop keeps, see `hwsim.memory.tiling`."""
    height: int
    width: int
    channels: int
    """Output rows, columns and channels of a tile."""
    products: int
    """Products of an output that are summed at a time."""
    tiles: int
    """Steps of the pipeline."""
    stack: tuple[str, ...] = ()
    """Layers that are executed together with this one; `height` is then the most that it makes of its output in a step."""

    @model_serializer(mode="wrap")
    def _plain(self, form: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave `stack` out where there is none, as most documents have it."""
        fields: dict[str, object] = form(self)
        return fields if self.stack else {name: value for name, value in fields.items() if name != "stack"}


class Segment(Part):
    """A stretch of a layer's time. ``dram_cycles`` is what its transfers need; stalls are ``cycles - compute_cycles``."""

    cycles: int
    compute_cycles: int
    dram_cycles: int
    read_bytes: int
    write_bytes: int


class OutlierInfo(Part):
    """The sparse part of a layer's weights, see ``docs/outliers.md``."""

    entries: int
    share: float
    """Of the layer's weights."""
    bits: int
    """Of a value."""
    encoding: str
    """The one of fewest bytes for these very positions."""
    value_bytes: int
    index_bytes: int
    pointer_bytes: int
    """Its arrays, fillers included."""
    bytes: int
    encoding_bytes: dict[str, int]
    """Of every encoding."""
    lanes: int
    tiles: int
    """Channel tiles times K tiles of the array."""
    visits: int
    """The same, each as often as its outliers make the array work through it."""
    most_per_tile: int
    mean_per_tile: float
    """Outliers of the fullest tile, and on average."""


class LayerTimes(Part):
    """What one node of the network asks of the machine, and how long it takes, for one image."""

    name: str
    op: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int
    weight_bits: int | None
    activation_bits: int | None
    dram_bytes: Traffic
    port_bytes: PortTraffic
    bound_bytes: int
    """No schedule moves fewer DRAM bytes with the buffers of this machine and the same tensors on chip."""
    bound_term: str
    """What the bound follows from."""
    compute_cycles: int
    """In which the array works on the layer, fill and drain included."""
    stall_cycles: int
    cycles: int
    least_cycles: int
    """No schedule takes fewer: every multiplier busy, or the DRAM moving no more than it must."""
    utilization: float
    """Multiply-accumulates per multiplier and cycle."""
    dram_bytes_per_second: float
    """At the clock, on average over the layer's cycles."""
    peak_bytes_per_cycle: float
    """The most that a step of the pipeline would have to move per cycle for the array not to wait."""
    input_on_chip: bool
    output_on_chip: bool
    placement: str
    """Where the output goes and why."""
    tiling: TilingInfo | None
    timeline: tuple[Segment, ...]
    outliers: OutlierInfo | None = None


class EnergyInfo(Part):
    """Energy of an image by one published table; None where the table has no number.

    Counted are multiply-accumulates, accesses of the buffers and bits over the DRAM interface: no registers, no accumulators,
    no wires, no clock. Tables differ by factors, so none is the energy.
    """

    table: str
    unit: str
    source: str
    stretched: str
    """What is done beyond the source."""
    macs: float | None
    sram: float | None
    dram: float | None
    total: float | None
    """None where a part is."""
    leakage: float | None
    """Of the buffers over the time of an image; not in `total`."""


class TotalTimes(Part):
    """The network for one image, and the bandwidth that a frame rate asks for."""

    macs: int
    dram_bytes: Traffic
    port_bytes: PortTraffic
    bound_bytes: int
    compute_cycles: int
    stall_cycles: int
    cycles: int
    least_cycles: int
    utilization: float
    energy: tuple[EnergyInfo, ...]
    seconds_per_image: float
    images_per_second: float
    operations_per_byte: float
    peak_bytes_per_cycle: float
    """Largest mean demand of a layer: its bytes over its cycles."""
    frames_per_second: float
    """The frame rate asked for."""
    bandwidth_bytes_per_second: float
    """DRAM bytes per second at that frame rate."""


class Provenance(Part):
    """What it takes to get the same document again."""

    command: str
    seed: int
    versions: dict[str, str]
