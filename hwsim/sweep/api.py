"""A sweep from one call: what ``hwsim sweep`` does, and what a notebook calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.spec import InputError, require

if TYPE_CHECKING:
    import pandas as pd

    from hwsim.sweep.columns import Record
    from hwsim.sweep.meter import Meter
    from hwsim.sweep.space import Space

SpaceLike = str | Path | Mapping[str, Any]
"""A TOML file, or what such a file would say."""

EXTRA = "pip install 'hwsim[sweep]'"


def sweep(
    space: SpaceLike, results: str | Path, *, workers: int | None = None, scheduler: str | None = None
) -> pd.DataFrame:
    """Sweep a space and return its rows, one for each configuration, in the order of their keys.

    Parameters
    ----------
    space
        A TOML file (see ``docs/sweep.md``), or its content as a dict.
    results
        Folder of the results; what is finished there is not done again.
    workers
        Processes on this machine, 0 for none but this one; all cores by default.
    scheduler
        Address of a Dask scheduler, in place of processes.

    Raises
    ------
    InputError
        For a space that cannot be swept, or where the store or the cluster fails.
    """
    require_extra()
    import pandas as pd

    from hwsim.sweep.columns import table_types

    rows = sweep_rows(read_space(space), Path(results), workers=workers, scheduler=scheduler)
    frame = pd.DataFrame(rows, columns=list(table_types("rows")))
    # Counts stay integers where some rows have none.
    return frame.convert_dtypes()


def read_space(space: SpaceLike) -> Space:
    """Return a space from whatever states it."""
    from hwsim.sweep.space import load_space

    return load_space(Path(space) if isinstance(space, str) else space)


def sweep_rows(
    space: Space, results: Path, *, workers: int | None = None, scheduler: str | None = None, meter: Meter | None = None
) -> list[Record]:
    """Sweep a space and return its rows, each once, in the order of their keys; for the rest see `sweep`."""
    require_extra()
    from hwsim.sweep.engine import Engine
    from hwsim.sweep.layer_files import open_layers
    from hwsim.sweep.rows import canonical
    from hwsim.sweep.search import Searcher, check_search
    from hwsim.sweep.sources import open_base, open_sources
    from hwsim.sweep.store import Store

    require(workers is None or 0 <= workers <= 1024, "workers", "from 0 to 1024", workers)
    require(workers is None or scheduler is None, "workers", "left out with a scheduler, which has its own", workers)
    check_search(space)
    base, sources, files = open_base(space), open_sources(space), open_layers(space)
    store = Store(results)
    store.prepare(space.model_dump_json(by_alias=True, indent=1) + "\n")
    # Other processes may have other working folders.
    folder = results.absolute()
    count = usable_cores() if workers is None else workers
    if scheduler is not None:
        from hwsim.sweep.cluster import DaskCluster

        pool: Any = DaskCluster(folder, scheduler)
    else:
        from hwsim.sweep.pool import InProcess, LocalProcesses

        pool = LocalProcesses(folder, count) if count else InProcess(folder)
    try:
        return canonical(Searcher(space, base, sources, Engine(store, pool, meter), files).run())
    except OSError as error:
        raise InputError(
            f"{error.filename or results}: {error.strerror or error}; finished points are kept in {results}, and the same "
            "command continues"
        ) from None
    finally:
        pool.close()


def require_extra() -> None:
    """Raise `InputError` where what sweeps need is not installed."""
    try:
        import pandas
        import pyarrow
    except ImportError:
        raise InputError(f"sweeps need pandas and pyarrow: {EXTRA}") from None
    del pandas, pyarrow


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
