"""Stimulus and expected results of a core as files, for benches in any language. The layout is in ``docs/vectors.md``."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hwsim.cosim.accepted import Accepted
from hwsim.cosim.files import os_errors, write_files
from hwsim.cosim.golden import GemmCase, golden
from hwsim.cosim.packing import Bytes, pack
from hwsim.cosim.sidecar import core_document, core_to_json
from hwsim.cosim.stimulus import NamedCase, outlier_case, random_case, shape_cases, target_cases
from hwsim.cosim.streams import JobStreams, to_streams
from hwsim.cosim.targets import targets_of
from hwsim.spec import Core, InputError, require
from hwsim.spec.errors import within
from hwsim.spec.register_map import CONTROL_START, REGISTERS

SCHEMA_VERSION: Final = 1

MANIFEST = "manifest.json"

MOST_CASES = 1000


def write_vectors(core: Core, folder: Path, *, cases: int, seed: int) -> list[Path]:
    """Write vectors into a folder, which must be new, empty, or hold earlier ones, and return the files.

    Parameters
    ----------
    core
        The configuration.
    folder
        Where.
    cases
        GEMMs, 1..1000: constructed and random ones in turn.
    seed
        0..2**32 - 1. The same core, cases and seed give the same bytes.

    Raises
    ------
    InputError
        If a number is out of range, or the folder holds something else or cannot be written.
    """
    require(within(cases, range(1, MOST_CASES + 1)), "--cases", f"an integer from 1 to {MOST_CASES}", cases)
    require(within(seed, range(1 << 32)), "--seed", f"an integer from 0 to {(1 << 32) - 1}", seed)
    return write_cases(core, folder, vector_cases(core, cases, seed), {"seed": seed})


def write_cases(core: Core, folder: Path, cases: Iterable[NamedCase], source: dict[str, Any]) -> list[Path]:
    """Write cases as `write_vectors` does; the manifest has `source`, where they come from."""
    old = _earlier(folder)
    files = case_files(core, cases, source)
    written = write_files(folder, files)
    with os_errors(folder, "--output"):
        for path in old - files.keys():
            (folder / path).unlink()
        for directory in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            if not any(directory.iterdir()):
                directory.rmdir()
    return written


def vector_files(core: Core, *, cases: int, seed: int) -> dict[str, bytes]:
    """Return the files of `write_vectors` by their paths, the manifest last."""
    return case_files(core, vector_cases(core, cases, seed), {"seed": seed})


def case_files(core: Core, cases: Iterable[NamedCase], source: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of `write_cases` by their paths, the manifest last."""
    files: dict[str, bytes] = {"core.json": core_to_json(core).encode()}
    arrays: dict[str, npt.NDArray[Any]] = {}
    described = []
    for number, named in enumerate(cases):
        path = f"case_{number:03}"
        arrays |= {f"{path}/{name}.npy": array for name, array in _arrays(core, named.case).items()}
        jobs = []
        streams = to_streams(core, named.case)
        for index, (planned, job) in enumerate(zip(streams.plan.jobs, streams.jobs, strict=True)):
            place = f"{path}/job_{index:03}"
            texts, counts = _job_files(core, job)
            files |= {f"{place}/{name}": content for name, content in texts.items()}
            where = {"first_pixel": planned.first_pixel, "channel_tiles": list(planned.channels)}
            jobs.append({"path": place, **where, "registers": job.registers, "beats": counts})
        described.append({"path": path, "name": named.name, **_settings(named.case), "jobs": jobs})
    files |= {name: _npy(array) for name, array in arrays.items()}
    listed = {
        name: {"sha256": hashlib.sha256(content).hexdigest()}
        | ({"shape": list(arrays[name].shape), "dtype": str(arrays[name].dtype)} if name in arrays else {})
        for name, content in sorted(files.items())
    }
    manifest = {
        "schema_version": SCHEMA_VERSION, "generator": "hwsim vectors", **source, "core": core_document(core)["core"],
        "cases": described, "files": listed,
    }  # fmt: skip
    return files | {MANIFEST: (json.dumps(manifest, indent=2) + "\n").encode()}


def vector_cases(core: Core, cases: int, seed: int) -> Iterator[NamedCase]:
    """Yield constructed and random cases in turn; the constructed ones repeat where there are not enough."""
    rng = np.random.default_rng([seed, 5])
    constructed = [*target_cases(core, targets_of(core)), *shape_cases(core, rng)]
    if core.outlier_lanes:
        constructed.insert(0, NamedCase("outliers", outlier_case(core, rng)))
    source = cycle(constructed)
    for number in range(cases):
        if number % 2:
            yield NamedCase(f"random {number}", random_case(core, np.random.default_rng([seed, 6, number])))
        else:
            yield from islice(source, 1)


def result_beats(core: Core, job: JobStreams) -> Bytes:
    """Return what must come out of the result port in one job, uint8 [beats, bus bytes], by the kernels."""
    accepted = Accepted(core, job.registers)
    for port, beats in (("weights", job.weights), ("activations", job.activations), ("outliers", job.outliers)):
        if beats is not None:
            getattr(accepted, port).extend(int.from_bytes(beat.tobytes(), "little") for beat in beats)
    rows = np.concatenate([golden(core, case)[0] for case in accepted.cases()])
    return pack(rows, core.result_packing)


def _job_files(core: Core, job: JobStreams) -> tuple[dict[str, bytes], dict[str, int]]:
    """Return the files of a job by name, and its beats by port."""
    ports = {"weights": job.weights, "activations": job.activations, "results": result_beats(core, job)}
    if job.outliers is not None:
        ports["outliers"] = job.outliers
    writes = [(REGISTERS[name], value) for name, value in job.registers.items()] + [
        (REGISTERS["CONTROL"], CONTROL_START)
    ]
    texts = {f"{port}.hex": readmemh(beats) for port, beats in ports.items()}
    texts["registers.hex"] = "".join(f"{address:08x}{value & 0xFFFFFFFF:08x}\n" for address, value in writes).encode()
    counts = {port: len(beats) for port, beats in sorted(ports.items())}
    order = ("weights", "activations", "outliers", "results")
    texts["counts.hex"] = "".join(f"{counts.get(port, 0):08x}\n" for port in order).encode()
    return texts, counts


def readmemh(beats: Bytes) -> bytes:
    """Return beats uint8 [beats, bus bytes] as Verilog's ``$readmemh`` reads them: one line each, the highest byte first."""
    return b"".join(beat[::-1].tobytes().hex().encode() + b"\n" for beat in beats)


def _arrays(core: Core, case: GemmCase) -> dict[str, npt.NDArray[Any]]:
    """Return operands and expected results by name, in the smallest types of their formats."""
    results, events = golden(core, case)
    number = core.arithmetic.reduction.acc.format if core.output is None else core.output
    arrays = {
        "activations": case.activations.astype(core.activation.storage),
        "weights": case.weights.astype(core.weight.storage),
        "bias": case.bias.astype(np.int64),
        "expected": results.astype(number.storage),
        "events": events.astype(np.int64),
    }
    if core.output is not None:
        arrays |= {"multiplier": case.multiplier.astype(np.int32), "shift": case.shift.astype(np.int8)}
    if case.outliers is not None:
        arrays |= {f"outliers_{name}": values.astype(np.int32) for name, values in asdict(case.outliers).items()}
    return arrays


def _settings(case: GemmCase) -> dict[str, Any]:
    names = ("activation_zero_point", "output_zero_point", "lo", "hi", "single")
    return dict(zip(("m", "k", "n"), case.shape, strict=True)) | {name: getattr(case, name) for name in names}


def _npy(array: npt.NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _earlier(folder: Path) -> set[str]:
    """Return the files of earlier vectors in a folder; refuse one that holds anything else."""
    with os_errors(folder, "--output"):
        if not folder.exists():
            return set()
        if not folder.is_dir():
            raise InputError(f"--output must be a folder, not the file {folder}")
        there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
        known = _listed(folder / MANIFEST) if MANIFEST in there else set()
    if there - known:
        raise InputError(f"--output must be empty or hold earlier vectors, not {folder} (it has {min(there - known)})")
    return there


def _listed(manifest: Path) -> set[str]:
    """Return what a manifest says is there, itself included; nothing if it is none of ours."""
    try:
        document = json.loads(manifest.read_bytes())
        if document["generator"] != "hwsim vectors":
            return set()
        return {MANIFEST, *document["files"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()
