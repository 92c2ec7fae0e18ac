"""Folders of images, and how an image becomes a model's pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwsim.data import open_dataset
from hwsim.spec.errors import InputError

REAL = os.environ.get("HWSIM_DATA")
SIZE = (19, 23)


def write(path: Path, width: int = 31, height: int = 29, seed: int = 0, mode: str = "RGB") -> Path:
    """Write a random image of `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def test_one_folder_per_class(tmp_path: Path) -> None:
    for seed, name in enumerate(("b/2.png", "b/10.png", "B/x.jpg", "a/only.JPEG", "a-b/z.webp", "a/._only.jpg")):
        write(tmp_path / name, seed=seed)
    (tmp_path / "b" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    data = open_dataset(str(tmp_path), image_size=SIZE)
    assert data.classes == ("B", "a", "a-b", "b")
    assert data.labels.tolist() == [0, 1, 2, 3, 3]
    assert (data.kind, data.sample_shape, data.split, data.name) == (
        "pixels",
        (19, 23, 3),
        "test",
        tmp_path.name,
    )
    batch = data.batch(3, 5)
    assert batch.shape == (2, 19, 23, 3)
    assert batch.dtype == np.uint8
    assert not np.array_equal(batch[0], batch[1])
    assert data.calibration_split() is data


def test_one_image_per_class_is_ranked_by_class_and_not_by_file(tmp_path: Path) -> None:
    # "a-b.png" sorts before "a.png", but class "a" before class "a-b".
    for name in ("a.png", "a-b.png", "b.png"):
        write(tmp_path / name)
    data = open_dataset(str(tmp_path), image_size=SIZE)
    assert data.classes == ("a", "a-b", "b")
    assert data.labels.tolist() == [0, 1, 2]


def test_digest_covers_names_and_contents(tmp_path: Path) -> None:
    def digest(*images: tuple[str, int]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, seed in images:
            write(folder / name, seed=seed)
        return open_dataset(str(folder), image_size=SIZE).digest()

    first = digest(("a/1.png", 1), ("b/2.png", 2))
    assert digest(("b/2.png", 2), ("a/1.png", 1)) == first
    assert digest(("a/1.png", 1), ("b/2.png", 3)) != first
    assert digest(("a/1.png", 1), ("c/2.png", 2)) != first


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_eight_bit_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "a" / "x.png", 256, 256, mode=mode)
    batch = open_dataset(str(tmp_path), image_size=(224, 224)).batch(0, 1)
    expected = np.asarray(Image.open(path).convert("RGB"))[16:240, 16:240]
    np.testing.assert_array_equal(batch[0], expected)


def test_256_is_cropped_then_resized(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 256, 256)
    crop = Image.open(path).crop((16, 16, 240, 240))
    batch = open_dataset(str(tmp_path), image_size=(96, 128)).batch(0, 1)
    np.testing.assert_array_equal(batch[0], np.asarray(crop.resize((128, 96), Image.Resampling.BILINEAR)))


@pytest.mark.parametrize(("width", "height", "scaled"), [(500, 333, (384, 256)), (101, 307, (256, 778))])
def test_short_side_is_brought_to_256(tmp_path: Path, width: int, height: int, scaled: tuple[int, int]) -> None:
    path = write(tmp_path / "a.png", width, height)
    image = Image.open(path).resize(scaled, Image.Resampling.BILINEAR)
    left, top = (scaled[0] - 224) // 2, (scaled[1] - 224) // 2
    batch = open_dataset(str(tmp_path), image_size=(224, 224)).batch(0, 1)
    np.testing.assert_array_equal(batch[0], np.asarray(image)[top : top + 224, left : left + 224])


def test_image_size_is_needed_and_sane(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"image_size must be given, as height and width, for a folder of images$"):
        open_dataset(str(tmp_path))
    with pytest.raises(InputError, match=r"^image_size must be two integers from 1 to 4096, not \(0, 8\)$"):
        open_dataset(str(tmp_path), image_size=(0, 8))


def test_train_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"split must be test .a folder of images is one set., not train$"):
        open_dataset(str(tmp_path), split="train", image_size=SIZE)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "must be a folder with either .*, not one without any$"),
        (("notes.txt",), "must be a folder with either .*, not one without any$"),
        (("a/1.png", "b/notes.txt"), "/b must be a class folder with images .*, not one without any$"),
        (("a/1.png", "b.png"), "must be a folder with either .*, not both .a/ and b.png.$"),
        (("a.jpg", "a.png"), "must be a folder with either .*, not one with both a.jpg and a.png$"),
    ],
)
def test_layout(tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("text")
        else:
            write(path)
    with pytest.raises(InputError, match=f"^{tmp_path}.*{message}"):
        open_dataset(str(tmp_path), image_size=SIZE)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "gone"])
def test_broken_image(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.jpg")
    data = open_dataset(str(tmp_path), image_size=SIZE)
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
        with pytest.raises(InputError, match=f"^{path} must be a readable file"):
            data.digest()
    else:
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(InputError, match=f"^{path} must be a whole image file, not one with: .+"):
        data.batch(0, 1)


def test_wide_pixels_and_absurd_shapes_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "a.png")
    write(tmp_path / "b.png", 1, 65)
    data = open_dataset(str(tmp_path), image_size=SIZE)
    with pytest.raises(InputError, match=r"a.png: pixels must be at most 8 bits per channel, not mode I;16$"):
        data.batch(0, 1)
    with pytest.raises(InputError, match=r"b.png: sides must be at most 64 to 1, not 1x65$"):
        data.batch(1, 2)


def test_decompression_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(InputError, match=r"a.png must be a whole image file, not one with: Image size .899 pixels."):
        open_dataset(str(tmp_path), image_size=SIZE).batch(0, 1)


@pytest.mark.skipif(not REAL, reason="HWSIM_DATA is unset: no imagenet_sample to read")
def test_real_imagenet_sample() -> None:
    data = open_dataset("imagenet_sample", image_size=(128, 128))
    assert (data.name, len(data), data.labels.tolist()) == ("imagenet_sample", 1000, list(range(1000)))
    assert data.classes is not None
    assert data.classes[0] == "n01440764"
    assert data.batch(998, 1000).shape == (2, 128, 128, 3)
    assert data.calibration_split() is data
