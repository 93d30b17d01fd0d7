import pytest
import torch
import torch.nn.functional as F

from patchvsr_core.errors import PatchVSRError
from patchvsr_core.finish.cielab import from_lab, to_lab
from patchvsr_core.finish.color_fix import adain, lab, match_colors, wavelet
from patchvsr_core.resample import resize


def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 40, 56, generator=generator), torch.rand(2, 3, 40, 56, generator=generator)


def test_adain_takes_mean_and_deviation_over_the_frame() -> None:
    content, style = pictures()
    out = adain(content * 0.3 + 0.5, style)
    torch.testing.assert_close(out.mean((2, 3)), style.mean((2, 3)), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3)), style.std((2, 3)), atol=1e-3, rtol=0)


def test_wavelet_is_high_of_content_plus_low_of_style() -> None:
    """Against the textbook form: five levels of blur, high frequencies summed up."""
    content, style = pictures()

    def decompose(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None].repeat(3, 1, 1, 1) / 16
        high = torch.zeros_like(x)
        for level in range(5):
            r = 2**level
            low = F.conv2d(F.pad(x, (r, r, r, r), mode="replicate"), kernel, groups=3, dilation=r)
            high, x = high + (x - low), low
        return high, x

    expected = decompose(content)[0] + decompose(style)[1]
    torch.testing.assert_close(wavelet(content, style), expected, atol=1e-5, rtol=0)


def test_a_colour_cast_is_removed() -> None:
    source = torch.rand(3, 20, 30, 3) * 0.5 + 0.2
    right = resize(source, (80, 120))
    for method in ("wavelet", "adain", "lab"):
        fixed = match_colors(right + torch.tensor([0.1, 0.0, -0.05]), source, method)
        assert (fixed - right).abs().mean() < 2e-3
    shifted = right + 0.1
    assert match_colors(shifted, source, "none") is shifted


def test_unknown_method() -> None:
    with pytest.raises(PatchVSRError, match="wavelet, adain, none, lab"):
        match_colors(torch.zeros(1, 8, 8, 3), torch.zeros(1, 2, 2, 3), "hue")


def test_cielab_has_the_published_values_and_an_inverse() -> None:
    red, grey = torch.tensor([1.0, 0, 0]), torch.full((3,), 0.5)
    values = to_lab(torch.stack([red, grey])[..., None, None])[..., 0, 0]
    expected = torch.tensor([[53.24, 80.09, 67.20], [53.39, 0.0, 0.0]])
    torch.testing.assert_close(values, expected, atol=0.02, rtol=0)
    content, _ = pictures()
    torch.testing.assert_close(from_lab(to_lab(content)), content, atol=1e-4, rtol=0)


def test_lab_takes_the_colours_of_the_style_and_most_of_the_lightness_of_the_content() -> None:
    content, style = (0.3 + 0.3 * picture for picture in pictures())
    found, wanted, own = (to_lab(each) for each in (lab(content, style), style, wavelet(content, style).clamp(0, 1)))
    for channel in (1, 2):
        sorted_values = (each[:, channel].flatten(1).sort(1).values for each in (found, wanted))
        torch.testing.assert_close(*sorted_values, atol=0.05, rtol=0)
    kept = torch.corrcoef(torch.stack([found[:, 0].flatten(), own[:, 0].flatten()]))[0, 1]
    assert kept > 0.99
