"""What is said of a network on a machine: where a layer's output goes and why, and which buffer is too small for what."""

from __future__ import annotations

from dataclasses import replace

from hwsim.memory.placement import Placement
from hwsim.sim.time.mapped_network import MappedNetwork

BUFFERS = ("weight_sram_bytes", "activation_sram_bytes", "result_sram_bytes")


def too_small(network: MappedNetwork) -> str:
    """Say which layer finds no room even with nothing kept, or beside what is given to be kept."""
    memory = network.accelerator.memory
    nothing = Placement(frozenset(), frozenset(), 0)
    for index, (node, layer) in enumerate(zip(network.nodes, network.layers, strict=True)):
        if layer is not None and network.moved(index, nothing) is None:
            sizes = (memory.weight_sram_bytes, memory.activation_sram_bytes, memory.result_sram_bytes)
            given = (memory.sram_bytes,) if memory.sram_bytes is not None else sizes
            names = ("sram_bytes",) if memory.sram_bytes is not None else BUFFERS
            least = zip(names, layer.least_rooms(network.room(index, nothing)), given, strict=True)
            lacking = [f"{name} at least {need}, not {size}" for name, need, size in least if need > (size or 0)]
            own = f"{network.given.source}: " if layer.given is not None else ""
            return f"{own}buffers must hold a tile of {node.workload.name}: {', '.join(lacking)}"
    for members, stack in network.as_given.stacks.items():
        if stack.traffic(*network.stack_room(members, nothing)) is None:
            called = ", ".join(network.stack_names(replace(nothing, stack=members)))
            return f"{network.given.source}: buffers must hold the weights and {stack.rows} lines of {called}, not {memory}"
    stuck = network.nodes[network.asked]
    late = {name for node in network.nodes[network.asked :] for name in (*node.stage.reads, *node.stage.writes)}
    held = network.as_given.held & late
    alive = [node for node in network.nodes[: network.asked + 1] if held.intersection(node.stage.writes)]
    largest = max(alive, key=lambda node: network.sizes[node.stage.writes[0]], default=stuck)
    return (
        f"{network.given.source}: layers.{largest.workload.name}.output must be DRAM here, not chip: beside the tensors that "
        f"are kept on chip {stuck.workload.name} finds no room"
    )


def reason(network: MappedNetwork, index: int, placement: Placement) -> str:
    """Say where a layer's output goes, and why."""
    writes = network.nodes[index].stage.writes
    if network.nodes[index].part_of:
        return f"part of {network.nodes[index].part_of}"
    if not writes:
        return "nothing moves"
    size, name = network.sizes[writes[0]], writes[0]
    memory = network.accelerator.memory
    capacity = memory.sram_bytes if memory.sram_bytes is not None else memory.activation_sram_bytes
    if memory.direct:
        return "DRAM: there are no buffers"
    if name in network.as_given.held | network.as_given.spilled:
        return f"{'on chip' if name in network.as_given.held else 'DRAM'}: as given"
    if placement.stack is not None and index != placement.stack[-1]:
        return f"on chip: lines of its {size} bytes at a time"
    if placement.kept_writes:
        return f"on chip: {placement.occupied_bytes} of {capacity} bytes hold tensors"
    if name in network.fixed:
        return "DRAM: the network's output"
    if size > (capacity or 0):
        return f"DRAM: {size} bytes do not fit into {capacity}"
    return f"DRAM: its {size} bytes leave too little of {capacity} for tiles and other tensors"
