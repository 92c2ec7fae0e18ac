"""SCALE-Sim's configurations and topologies: its own spellings are read, broken files are one line of what is wrong where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.scalesim import Config, Layer, parse_config, parse_topology, read_config, read_topology, topology_text
from hwsim.scalesim.config import config_text
from hwsim.spec import InputError

VERSION_2 = """\
[general]
run_name = eyeriss
[architecture_presets]
ArrayHeight:    12
ArrayWidth :     14
IfmapSramSzkB:    108
filtersramszkb:   108
OfmapSramSzkB = 108
IfmapOffset:    0
Dataflow : ws
[run_presets]
InterfaceBandwidth: CALC
"""
CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"


def test_a_configuration_in_the_spelling_of_its_files() -> None:
    """Colons, spaces around them, any case, and without the sections that version 3 has added."""
    assert parse_config(VERSION_2, "x.cfg") == Config("eyeriss", 12, 14, 108, 108, 108, "ws")


def test_a_written_configuration_is_read_back() -> None:
    config = Config("run", 16, 8, 1, 2, 3, "is")
    assert parse_config(config_text(config), "x.cfg") == config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12", "twelve", r"x.cfg: \[architecture_presets\] ArrayHeight must be an integer from 1 to 4096, not 'twelve'"),
        ("12", "0", "ArrayHeight must be an integer from 1 to 4096, not '0'"),
        (": ws", ": rs", r"x.cfg: \[architecture_presets\] Dataflow must be os, ws or is, not 'rs'"),
        ("CALC", "USER", r"x.cfg: \[run_presets\] InterfaceBandwidth must be CALC .*, not 'USER'"),
        ("OfmapSramSzkB = 108\n", "", r"x.cfg: \[architecture_presets\] OfmapSramSzkB must be given, not missing"),
        ("[architecture_presets]", "[other]", r"x.cfg: section \[architecture_presets\] must be there, not missing"),
        ("[general]", "general", "x.cfg: File contains no section headers"),
        ("= eyeriss", "= ../up", r"x.cfg: \[general\] run_name must be a name of a folder, not '../up'"),
        ("[run_presets]", "[sparsity]\nSparsitySupport = true\n[run_presets]", "SparsitySupport must be false .*, not 'true'"),
        ("CALC", "CALC\nUseRamulatorTrace: True", "UseRamulatorTrace must be False .*, not 'True'"),
    ],
)  # fmt: skip
def test_broken_configurations(old: str, new: str, message: str) -> None:
    assert old in VERSION_2
    with pytest.raises(InputError, match=message) as error:
        parse_config(VERSION_2.replace(old, new, 1), "x.cfg")
    assert "\n" not in str(error.value)


def test_convolutions_with_the_oddities_of_its_files() -> None:
    """Padded with blanks, blank lines, a sparsity ratio, the last row without its comma and line end."""
    text = (
        CONV
        + "Conv1     ,224         ,224        ,11 ,11 ,3 ,96 ,4 , \n\nS, 5, 6, 1, 2, 3, 4, 1, 2:4,\nFC,1,1,1,1,512,1000,1"
    )
    assert parse_topology(text, "x.csv") == (
        Layer("Conv1", 224, 224, 11, 11, 3, 96, 4), Layer("S", 5, 6, 1, 2, 3, 4), Layer("FC", 1, 1, 1, 1, 512, 1000),
    )  # fmt: skip


def test_gemms() -> None:
    """M lines of K words, filters of one line: M pixels, windows of K."""
    (layer,) = parse_topology("Layer Name, M, N, K,\nTest 1, 256, 128, 64,\n", "x.csv")
    assert (layer.pixels, layer.window, layer.filters) == (256, 64, 128)


def test_depthwise_layers_stand_for_one_per_channel() -> None:
    layers = parse_topology(CONV + "DP1, 9, 9, 3, 3, 4, 1, 2,\n", "x.csv")
    assert [layer.name for layer in layers] == [f"DP1Channel_{channel}" for channel in range(4)]
    assert {layer.channels for layer in layers} == {1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.csv: line 1 must be a header .*, not ''"),
        ("A, 1, 2, 3,\n", "x.csv: line 1 must be a header .*, not 'A, 1, 2, 3,'"),
        (CONV, "x.csv: layers must be one or more below the header, not 0"),
        (CONV + "A, 8, 8, 3, 3, 4,\n", r"x.csv: line 2: row must be a name and 7 numbers \(IFMAP Height.*, not 'A, 8, .*'"),
        (CONV + "\nA, 8, 8, 3, 3, 4, 5, 1, 1, 1,\n", "x.csv: line 3: row must be a name and 7 numbers"),
        (CONV + "A, 8, 8, 3, 3, four, 5, 1,\n", "x.csv: line 2: Channels must be an integer from 1 to 1073741824, not 'four'"),
        (CONV + "A, 8, 8, 3, 3, 0, 5, 1,\n", "x.csv: line 2: Channels must be an integer from 1 to 1073741824, not '0'"),
        (CONV + "A, 8, 2, 3, 3, 4, 5, 1,\n", "x.csv: line 2: Filter Width must be at most the input's 2, not 3"),
        (CONV + "DP, 1, 1, 1, 1, 1000000000, 1, 1,\n", "x.csv: layers must be at most 100000, not 1000000000"),
        ("L, M, N, K,\nA, 1, 2, 3.5,\n", "x.csv: line 2: K must be an integer from 1 to 1073741824, not '3.5'"),
    ],
)  # fmt: skip
def test_broken_topologies(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        parse_topology(text, "x.csv")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.cfg: file must be readable, not no such file"):
        read_config(tmp_path / "none.cfg")
    (tmp_path / "latin.csv").write_bytes(b"Layer name, M\xe4\n")
    with pytest.raises(InputError, match=r"latin\.csv: text must be UTF-8, not other bytes"):
        read_topology(tmp_path / "latin.csv")
    (tmp_path / "mark.csv").write_bytes("Layer, M, N, K,\nA, 1, 2, 3,\n".encode("utf-8-sig"))
    assert len(read_topology(tmp_path / "mark.csv")) == 1


@given(
    st.lists(
        st.builds(
            lambda name, h, w, r, s, c, n, t: Layer(name, max(h, r), max(w, s), r, s, c, n, t),
            st.sampled_from(["conv1", "a b", "x"]),
            *[st.integers(1, 300)] * 7,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_written_topology_is_read_back(layers: list[Layer]) -> None:
    assert parse_topology(topology_text(layers), "x.csv") == tuple(layers)


def test_a_name_with_a_comma_cannot_be_written() -> None:
    with pytest.raises(InputError, match="layer name must be a text without a comma, not 'a,b'"):
        topology_text([Layer("a,b", 1, 1, 1, 1, 1, 1)])
