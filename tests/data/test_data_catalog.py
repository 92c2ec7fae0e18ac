"""Names, presence, and what a user is told about a set that is not there."""

from pathlib import Path

import pytest

from hwsim.data import DATASETS, open_dataset
from hwsim.spec.errors import InputError

DOWNLOADED = [source for source in DATASETS if source.needs]


def test_names() -> None:
    assert [source.name for source in DATASETS] == ["digits", "cifar10", "mnist", "imagenet_sample", "mlperf_tiny_ic"]


@pytest.mark.parametrize("source", DATASETS, ids=lambda source: source.name)
def test_records_are_single_lines(source: object) -> None:
    for field in ("name", "description", "layout", "origin", "licence"):
        value = getattr(source, field)
        assert value == value.strip()
        assert value
        assert "\n" not in value


@pytest.mark.parametrize("name", [source.name for source in DOWNLOADED])
def test_unset_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWSIM_DATA", raising=False)
    message = f"^data set {name} must be at HWSIM_DATA/.*get it from http.*export HWSIM_DATA=FOLDER.*is unset$"
    with pytest.raises(InputError, match=message):
        open_dataset(name, image_size=(8, 8))
    assert [source.name for source in DATASETS if source.is_present()] == ["digits"]


@pytest.mark.parametrize("name", [source.name for source in DOWNLOADED])
def test_missing_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"^data set {name} must be at .*, not missing: {tmp_path}.* does not exist$"):
        open_dataset(name, image_size=(8, 8))
    assert [source.name for source in DATASETS if source.is_present()] == ["digits"]


def test_presence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_DATA", str(tmp_path))
    for name in (
        "mnist/t10k-images-idx3-ubyte.gz",
        "mnist/t10k-labels-idx1-ubyte",
        "cifar-10-batches-bin/test_batch.bin",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [source.name for source in DATASETS if source.is_present()] == [
        "digits",
        "cifar10",
        "mnist",
        "mlperf_tiny_ic",
    ]


@pytest.mark.parametrize("name", ["", "imagenet", "set.csv", "no/such/folder", "nul\0"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(InputError) as caught:
        open_dataset(name)
    names = "digits, cifar10, mnist, imagenet_sample, mlperf_tiny_ic"
    assert str(caught.value) == f"data must be {names}, a folder of images or a .npz file, not {name!r}"


def test_missing_npz() -> None:
    with pytest.raises(InputError, match=r"not 'set.npz' .no such file.$"):
        open_dataset("set.npz")


def test_unknown_split() -> None:
    with pytest.raises(InputError, match=r"^split must be train or test, not 'validation'$"):
        open_dataset("digits", split="validation")
