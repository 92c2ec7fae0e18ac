"""What `hwsim rtl emit` writes: Verilog, the sidecar that rebuilds it, a FuseSoC description, a list of ports."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from gemm_core_configurations import DEFAULT, named

from hwsim.cosim.sidecar import read_core
from hwsim.hardware.emit import KEYWORDS, core_files, core_verilog, emit, module_name
from hwsim.spec import Core, InputError
from hwsim.spec.register_map import COUNTERS, REGISTERS


@pytest.mark.parametrize("core", DEFAULT[1:4], ids=lambda core: core.name)
def test_files_are_the_core(core: Core, tmp_path: Path) -> None:
    paths = emit(core, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"{core.name}{ending}" for ending in (".v", ".json", ".core", ".md")]
    assert {path.name: path.read_bytes() for path in paths} == core_files(core)
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    rebuilt = read_core(paths[1])
    assert rebuilt == core
    assert core_verilog(rebuilt) == paths[0].read_text("utf-8")


def test_the_description_names_every_port_and_register() -> None:
    core = named("ws_outliers_w2")
    files = {name: content.decode() for name, content in core_files(core).items()}
    verilog, text = files[f"{core.name}.v"], files[f"{core.name}.md"]
    (ports,) = re.findall(rf"^module {core.name}\((.*?)\);", verilog, re.MULTILINE | re.DOTALL)
    for port in re.findall(r"\w+", ports):
        described = "s_axil_*" if port.startswith("s_axil_") else re.sub("t(valid|ready|last)$", "tdata", port)
        assert described in text, port
    for port, bits in re.findall(r"\| (\w+_tdata) \| (\d+) \|", text):
        assert re.search(rf"(input|output) \[{int(bits) - 1}:0\] {port};", verilog), port
    for register in (*REGISTERS, *COUNTERS):
        assert f"| {register}" in text, register
    assert f"- {core.name}.v" in files[f"{core.name}.core"]
    assert files[f"{core.name}.core"].startswith("CAPI=2:\n")


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("gemm_core", "gemm_core"),
        ("narrow-8x8", "narrow_8x8"),
        ("8x8", "core_8x8"),
        ("a  b/c", "a_b_c"),
        ("wire", "core_wire"),
        ("äöü", "core"),
        ("../up", "up"),
        ("", "core"),
    ],
)
def test_names_of_files_and_modules(name: str, module: str) -> None:
    assert module_name(replace(Core(), name=name)) == module


def test_keywords_are_words() -> None:
    assert len(KEYWORDS) > 100 and all(re.fullmatch("[a-z0-9_]+", word) for word in KEYWORDS)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    core = named("os_acc32_narrow_buses")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"--output must be a folder that can be written, not .*file"):
        emit(core, tmp_path / "file")
    (tmp_path / "there" / f"{core.name}.v").mkdir(parents=True)
    with pytest.raises(InputError, match="--output must be a folder that can be written"):
        emit(core, tmp_path / "there")
    assert [path.name for path in (tmp_path / "there").iterdir()] == [f"{core.name}.v"]
