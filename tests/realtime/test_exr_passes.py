"""Rendered footage with its passes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import (
    CHANNELS,
    HEIGHT,
    NEW_NAMES,
    WIDTH,
    channels_of,
    frame_values,
    letters_of,
    window,
    write_exr,
    write_parts,
    write_shot,
)
from torch import Tensor

from patchvsr_core.errors import MediaError
from patchvsr_core.optical_flow.motion_vectors import flows_from_vectors
from patchvsr_core.realtime.exr_passes import frame_files, read_passes
from patchvsr_core.realtime.gbuffers import make_gbuffers
from patchvsr_core.srgb import to_linear
from patchvsr_core.video.exr import Channel, Picture


def stacked(shot: list[dict[str, np.ndarray]], name: str) -> Tensor:
    return torch.from_numpy(np.stack([values[name] for values in shot]))


def display(linear: Tensor) -> Tensor:
    """The sRGB curve, from its standard (IEC 61966-2-1)."""
    linear = linear.clamp(0, 1).double()
    curve = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return curve.float()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("prefix", ["ViewLayer.", "Shot.010.Cars.", ""])
def test_every_pass_comes_back_as_it_was_rendered(tmp_path: Path, prefix: str, half: bool) -> None:
    shot = [frame_values(seed) for seed in range(3)]
    for index, values in enumerate(shot):
        write_exr(tmp_path / f"shot_{index + 8}.exr", channels_of(values, prefix, half))
    frames, alpha, passes = read_passes(tmp_path)
    assert frames.shape == (3, HEIGHT, WIDTH, 3) and frames.dtype == torch.float32
    assert torch.allclose(frames, display(stacked(shot, "Combined")[..., :3]), atol=1e-6)
    assert alpha is not None and torch.equal(alpha, stacked(shot, "Combined")[..., 3])
    assert passes.depth is not None and torch.equal(passes.depth, stacked(shot, "Depth")[..., 0])
    assert passes.normal is not None and torch.equal(passes.normal, stacked(shot, "Normal"))
    both = stacked(shot, "DiffCol") + stacked(shot, "GlossCol")
    assert passes.albedo is not None and both.max() > 1
    assert torch.allclose(to_linear(passes.albedo), both, atol=1e-5), "not clipped"
    expected = flows_from_vectors(stacked(shot, "Vector"))
    assert passes.flows is not None and torch.equal(passes.flows.to_previous, expected.to_previous)
    assert torch.equal(passes.flows.to_next, expected.to_next)
    assert {name: tuple(value.shape[:2]) for name, value in make_gbuffers(frames, passes).items()} == dict.fromkeys(
        ("Image", "Motion", "Depth", "Normal", "BRDF"), (1, 3)
    )


@pytest.mark.parametrize(("compression", "tolerance"), [("PIZ", 0.0), ("RLE", 0.0), ("DWAA", 0.02)])
def test_other_compressions(tmp_path: Path, compression: str, tolerance: float) -> None:
    """DWAA keeps data exactly and colours about so; it needs a picture that is no noise."""
    ramp = np.linspace(0.2, 0.8, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, 0)
    values = frame_values(0) | {"Combined": ramp.repeat(4, 2)}
    path = write_exr(tmp_path / "a.exr", channels_of(values, half=True), compression)
    frames, _, passes = read_passes(path)
    assert (frames[0] - display(torch.from_numpy(values["Combined"][..., :3]))).abs().max() <= tolerance + 1e-3
    assert passes.depth is not None and torch.equal(passes.depth[0], torch.from_numpy(values["Depth"][..., 0]))


@pytest.mark.parametrize(
    ("names", "reads"),
    [
        ({"R": "R", "G": "G", "B": "B", "Z": "depth", "N.X": "nx", "N.Y": "ny", "N.Z": "nz"}, {"depth", "normal"}),
        ({"R": "R", "G": "G", "B": "B", "albedo.R": "nx", "albedo.G": "ny", "albedo.B": "nz"}, {"albedo"}),
        ({"beauty.red": "R", "beauty.green": "G", "beauty.blue": "B", "depth.R": "depth"}, {"depth"}),
        ({"Image.R": "R", "Image.G": "G", "Image.B": "B", "Depth.V": "depth", "Vector.X": "nx", "Vector.Y": "ny"},
         {"depth", "flows"}),
        ({"V.Combined.R": "R", "V.Combined.G": "G", "V.Combined.B": "B", "V.Denoising Albedo.R": "nx",
          "V.Denoising Albedo.G": "ny", "V.Denoising Albedo.B": "nz"}, {"albedo"}),
        ({"R": "R", "G": "G", "B": "B", "motionvector.X": "nx", "motionvector.Y": "ny"}, set()),
    ],
)  # fmt: skip
def test_names_of_other_renderers(tmp_path: Path, names: dict[str, str], reads: set[str]) -> None:
    """Motion by other names is not read: what it means is not known."""
    values = frame_values(1)
    planes = {letter: values["Combined"][..., index] for index, letter in enumerate("RGB")}
    planes |= {f"n{letter}": values["Normal"][..., index] for index, letter in enumerate("xyz")}
    planes["depth"] = values["Depth"][..., 0]
    path = write_exr(tmp_path / "a.exr", {name: np.ascontiguousarray(planes[key]) for name, key in names.items()})
    frames, alpha, passes = read_passes(path)
    assert alpha is None
    assert torch.allclose(frames[0], display(torch.from_numpy(values["Combined"][..., :3])), atol=1e-6)
    assert {name for name in ("flows", "depth", "normal", "albedo") if getattr(passes, name) is not None} == reads
    if passes.depth is not None:
        assert torch.equal(passes.depth[0], torch.from_numpy(values["Depth"][..., 0]))
    if passes.normal is not None:
        assert torch.equal(passes.normal[0], torch.from_numpy(values["Normal"]))
    if passes.albedo is not None:
        assert torch.allclose(passes.albedo[0], display(torch.from_numpy(values["Normal"])), atol=1e-6)


@pytest.mark.parametrize("name", list(NEW_NAMES))
def test_names_of_newer_blenders_and_one_colour_alone(tmp_path: Path, name: str) -> None:
    values = frame_values(2)
    shown = {"Combined": values["Combined"], NEW_NAMES[name]: values[name]}
    assert letters_of(NEW_NAMES[name]) == CHANNELS[name]
    _, _, passes = read_passes(write_exr(tmp_path / "a.exr", channels_of(shown)))
    assert passes.albedo is not None and passes.normal is None
    assert torch.allclose(passes.albedo[0], display(torch.from_numpy(values[name])), atol=1e-6)


def test_exposure_is_in_stops_and_leaves_the_material_alone(tmp_path: Path) -> None:
    shot = write_shot(tmp_path, 2)
    brighter, _, passes = read_passes(tmp_path, exposure=-2.0)
    assert torch.allclose(brighter, display(stacked(shot, "Combined")[..., :3] / 4), atol=1e-6)
    plain = read_passes(tmp_path)[2].albedo
    assert passes.albedo is not None and plain is not None and torch.equal(passes.albedo, plain)


def test_what_is_no_number_does_no_harm(tmp_path: Path) -> None:
    values = frame_values(0)
    for name in values:
        values[name][0, 0] = np.nan
        values[name][0, 1] = np.inf
    values["Depth"][0, 2] = 0
    frames, alpha, passes = read_passes(write_exr(tmp_path / "a.exr", channels_of(values)))
    assert frames[0, 0, :2].tolist() == [[0.0] * 3, [1.0] * 3] and alpha is not None and alpha[0, 0, 0] == 0
    for name, buffer in make_gbuffers(frames, passes).items():
        assert buffer.isfinite().all() and buffer.abs().max() <= 1, name
    assert passes.depth is not None and passes.depth[0, 0, 2] == torch.inf, "a distance of 0: nothing was hit"


def test_data_beside_the_picture_is_cut_and_where_there_is_none_is_nothing(tmp_path: Path) -> None:
    values = frame_values(3)
    data, shown = window(10, -5, HEIGHT, WIDTH), window(8, 0, HEIGHT, WIDTH)
    path = write_exr(tmp_path / "a.exr", channels_of(values), dataWindow=data, displayWindow=shown)
    frames, alpha, passes = read_passes(path)
    assert frames.shape == (1, HEIGHT, WIDTH, 3) and alpha is not None and passes.depth is not None
    assert torch.equal(passes.depth[0, 2:, :-5], torch.from_numpy(values["Depth"][:-2, 5:, 0]))
    for outside in (np.s_[:2], np.s_[:, -5:]):
        assert passes.depth[0][outside].isinf().all()
        assert not frames[0][outside].any() and not alpha[0][outside].any()


def test_data_that_is_all_beside_the_picture(tmp_path: Path) -> None:
    options = {"dataWindow": window(0, 0, HEIGHT, WIDTH), "displayWindow": window(0, 40, HEIGHT, WIDTH)}
    frames, _, passes = read_passes(write_exr(tmp_path / "a.exr", channels_of(frame_values(0)), **options))
    assert not frames.any() and passes.depth is not None and passes.depth.isinf().all()


def test_the_view_layer_with_the_most_passes_unless_one_is_named(tmp_path: Path) -> None:
    values, other = frame_values(0), frame_values(1)
    channels = channels_of({"Combined": other["Combined"]}, "Composite.") | channels_of(values)
    few = {"Combined": other["Combined"], "Depth": other["Depth"]}
    path = write_exr(tmp_path / "a.exr", channels | channels_of(few, "Sky."))
    for name, depth, normals in (("", values["Depth"], True), ("sky", other["Depth"], False)):
        _, _, passes = read_passes(path, view_layer=name)
        assert passes.depth is not None and torch.equal(passes.depth[0], torch.from_numpy(depth[..., 0]))
        assert (passes.normal is not None) == normals
    assert read_passes(path, view_layer="Composite")[2].depth is None
    with pytest.raises(MediaError, match="no Combined pass in the view layer Trees"):
        read_passes(path, view_layer="Trees")


def test_the_first_of_two_views(tmp_path: Path) -> None:
    """As in OpenEXR's own Beachball: in one part views are in the names, in several parts in their headers."""
    right, left = frame_values(0), frame_values(1)
    plain = {letter: np.ascontiguousarray(right["Combined"][..., index]) for index, letter in enumerate("RGBA")}
    other = {letter: np.ascontiguousarray(left["Combined"][..., index]) for index, letter in enumerate("RGBA")}
    depth = {"Z": np.ascontiguousarray(right["Depth"][..., 0])}, {"Z": np.ascontiguousarray(left["Depth"][..., 0])}
    normal = {f"N.left.{letter}": np.ascontiguousarray(left["Normal"][..., 0]) for letter in "XYZ"}
    normal |= {f"N.right.{letter}": np.ascontiguousarray(right["Normal"][..., 0]) for letter in "XYZ"}
    one = {**plain, **depth[0], **{f"left.{name}": value for name, value in (other | depth[1]).items()}, **normal}
    single = write_exr(tmp_path / "single.exr", one, multiView=["right", "left"])
    parts = {"rgba_right": plain, "depth_left": depth[1], "rgba_left": other, "depth_right": depth[0]}
    several = write_parts(tmp_path / "several.exr", parts, {name: name.split("_")[1] for name in parts})
    for path in (single, several):
        frames, _, passes = read_passes(path)
        assert torch.allclose(frames[0], display(torch.from_numpy(right["Combined"][..., :3])), atol=1e-6)
        assert passes.depth is not None and torch.equal(passes.depth[0], torch.from_numpy(right["Depth"][..., 0]))
    _, _, passes = read_passes(single)
    assert passes.normal is not None
    assert torch.equal(passes.normal[0], torch.from_numpy(right["Normal"][..., :1]).expand(-1, -1, 3))


@pytest.mark.parametrize("first", ["main", "albedo", "ViewLayer.Combined"])
def test_parts_that_are_named_after_their_layers(tmp_path: Path, first: str) -> None:
    values = frame_values(0)
    color = {letter: np.ascontiguousarray(values["Combined"][..., index]) for index, letter in enumerate("RGB")}
    prefix = "ViewLayer." if "." in first else ""
    parts = {first: color, f"{prefix}Depth": {"Z": np.ascontiguousarray(values["Depth"][..., 0])}}
    frames, _, passes = read_passes(write_parts(tmp_path / "a.exr", parts))
    assert torch.allclose(frames[0], display(torch.from_numpy(values["Combined"][..., :3])), atol=1e-6)
    assert passes.depth is not None


def test_which_frames(tmp_path: Path) -> None:
    write_shot(tmp_path, 4, begin=9)
    (tmp_path / "0001.png").write_bytes(b"a preview beside them")
    (tmp_path / "other").mkdir()
    write_shot(tmp_path / "other", 1)

    def numbers(path: Path = tmp_path, **chosen: int) -> list[int]:
        return [int(file.stem[-4:]) for file in frame_files(path, **chosen)]

    assert numbers() == numbers(tmp_path / "%04d.exr") == numbers(tmp_path / "####.exr") == [9, 10, 11, 12]
    assert numbers(first=3) == numbers(count=99) == [9, 10, 11, 12]
    assert numbers(first=10) == [10, 11, 12] and numbers(first=10, count=2) == [10, 11]
    assert numbers(tmp_path / "0011.exr") == [11]
    with pytest.raises(MediaError, match="ends with frame 12, before frame 13"):
        numbers(first=13)
    (tmp_path / "0010.exr").unlink()
    assert numbers(first=11) == [11, 12] and numbers(count=1) == [9]
    for chosen in ({}, {"first": 10}):
        with pytest.raises(MediaError, match=r"1 of the frames .* missing \(10\)"):
            numbers(**chosen)
    (tmp_path / "b_0009.exr").write_bytes(b"")
    with pytest.raises(MediaError, match="both have number 9"):
        numbers()
    (tmp_path / "a.exr").write_bytes(b"")
    with pytest.raises(MediaError, match=r"a\.exr has no number"):
        numbers()
    assert numbers(tmp_path / "%04d.exr", first=11) == [11, 12]


def test_one_file_without_a_number_is_one_frame(tmp_path: Path) -> None:
    write_exr(tmp_path / "still.exr", channels_of(frame_values(0)))
    for path in (tmp_path, tmp_path / "still.exr"):
        frames, _, passes = read_passes(path)
        assert len(frames) == 1 and passes.flows is not None and passes.flows.frames == 1
        assert not make_gbuffers(frames, passes)["Motion"].any()


def test_every_frame_is_told(tmp_path: Path) -> None:
    write_shot(tmp_path, 3)
    told: list[tuple[int, int]] = []
    read_passes(tmp_path, on_frame=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def broken(data: bytes) -> dict[str, bytes]:
    return {"cut": data[: len(data) // 2], "header cut": data[:100], "empty": b"", "png": b"\x89PNG" + data[4:]}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut", r"0002\.exr is damaged or incomplete"),
        ("header cut", r"0002\.exr is damaged"),
        ("empty", r"0002\.exr is not an EXR file, or is empty"),
        ("png", r"0002\.exr is not an EXR file"),
    ],
)
def test_a_file_that_is_not_whole(tmp_path: Path, how: str, words: str) -> None:
    write_shot(tmp_path, 3)
    path = tmp_path / "0002.exr"
    path.write_bytes(broken(path.read_bytes())[how])
    with pytest.raises(MediaError, match=words):
        read_passes(tmp_path)


@pytest.mark.parametrize(
    ("missing", "width", "words"),
    [
        ("", WIDTH - 2, r"0002\.exr is 14x12 pixels, 0001\.exr is 16x12"),
        ("Normal", WIDTH, r"0002\.exr lacks the channel X of ViewLayer\.Normal"),
        ("Combined", WIDTH, r"0002\.exr lacks the channel R of ViewLayer\.Combined"),
    ],
)
def test_a_frame_unlike_the_others(tmp_path: Path, missing: str, width: int, words: str) -> None:
    write_shot(tmp_path, 3)
    values = frame_values(7, (HEIGHT, width))
    values.pop(missing, None)
    write_exr(tmp_path / "0002.exr", channels_of(values))
    with pytest.raises(MediaError, match=words):
        read_passes(tmp_path)


@pytest.mark.parametrize("without", [0, 1])
def test_a_frame_without_alpha_is_opaque(tmp_path: Path, without: int) -> None:
    for index in range(2):
        channels = channels_of(frame_values(index))
        if index == without:
            del channels["ViewLayer.Combined.A"]
        write_exr(tmp_path / f"{index}.exr", channels)
    alpha = read_passes(tmp_path)[1]
    assert alpha is not None and alpha[without].eq(1).all() and not alpha[1 - without].eq(1).all()


def test_a_part_that_is_cut(tmp_path: Path) -> None:
    """What is left opens without complaint, but lacks its last part."""
    plane = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    path = write_parts(tmp_path / "a.exr", {"rgb": dict.fromkeys("RGB", plane), "depth": {"Z": plane}})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MediaError, match="damaged"):
        read_passes(path)


def test_files_without_a_picture(tmp_path: Path) -> None:
    values = frame_values(0)
    del values["Combined"]
    path = write_exr(tmp_path / "a.exr", channels_of(values))
    with pytest.raises(MediaError, match=r"no Combined pass, only ViewLayer\.Depth, ViewLayer\.DiffCol"):
        read_passes(path)


def test_subsampled_colours() -> None:
    half = Channel(np.ones((HEIGHT // 2, WIDTH // 2), np.float16), 0, 0, (2, 2))
    picture = Picture(Path("a.exr"), (HEIGHT, WIDTH), {"": {"r": half}})
    with pytest.raises(MediaError, match=r"channel R of the image in a\.exr is subsampled"):
        picture.planes("", "r")


@pytest.mark.parametrize(
    ("name", "words"),
    [("nothing", "There is no"), ("no_%04d.exr", r"There is no \.exr file"), (".", r"There is no \.exr file")],
)
def test_paths_that_lead_nowhere(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "0001.png").write_bytes(b"")
    with pytest.raises(MediaError, match=words):
        read_passes(tmp_path / name)


def test_without_the_package_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_exr(tmp_path / "a.exr", channels_of(frame_values(0)))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MediaError, match="-m pip install OpenEXR") as raised:
        read_passes(path)
    assert sys.executable in str(raised.value)
