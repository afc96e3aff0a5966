import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graftline.models.input_contract import InputContract
from graftline.models.inputs.preprocessing import Inputs, interpolation, prepare
from graftline.models.inputs.sizes import contract_for
from tests.builders.networks import build

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def contract(stored: tuple[int, int, int], channels: int, height: int, width: int) -> InputContract:
    return InputContract(
        stored=stored, channels=channels, height=height, width=width, mean=MEAN[:channels], std=STD[:channels]
    )


def images(shape: tuple[int, int, int], count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.integers(2, 90), st.integers(2, 90))  # torch is wrong at 1
def test_resizing_is_torchs_antialiased_bilinear(height: int, width: int, to_height: int, to_width: int) -> None:
    stored = images((3, height, width))
    ours = prepare(stored, contract((3, height, width), 3, to_height, to_width))
    theirs = F.interpolate(stored.float() / 255, size=(to_height, to_width), mode="bilinear", antialias=True)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(ours * std + mean, theirs, atol=2e-5)


@pytest.mark.parametrize(("size", "wanted"), [(28, 32), (500, 224), (7, 7), (1, 5), (5, 1)])
def test_each_new_pixel_is_a_mean_of_old_ones(size: int, wanted: int) -> None:
    matrix = interpolation(size, wanted)
    assert matrix.shape == (wanted, size)
    assert np.allclose(matrix.sum(axis=1), 1, atol=1e-6)
    assert (matrix >= 0).all()


def test_the_same_size_is_not_touched() -> None:
    stored = images((3, 5, 4))
    expected = (stored.double() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    assert torch.allclose(prepare(stored, contract((3, 5, 4), 3, 5, 4)).double(), expected, atol=1e-6)


def test_grey_is_repeated_and_each_channel_normalized_by_its_own() -> None:
    grey = images((1, 6, 6))
    repeated = prepare(grey.expand(-1, 3, -1, -1), contract((3, 6, 6), 3, 6, 6))
    assert torch.equal(prepare(grey, contract((1, 6, 6), 3, 6, 6)), repeated)


def test_color_becomes_luminance() -> None:
    pure = torch.zeros(3, 3, 2, 2, dtype=torch.uint8)
    for channel in range(3):
        pure[channel, channel] = 255
    plain = InputContract(stored=(3, 2, 2), channels=1, height=2, width=2, mean=[0.0], std=[1.0])
    assert torch.allclose(prepare(pure, plain)[:, 0, 0, 0], torch.tensor([0.299, 0.587, 0.114]))


def test_images_of_another_shape_are_not_taken() -> None:
    with pytest.raises(ValueError, match=r"images of \(3, 8, 8\), the input contract says \(3, 6, 6\)"):
        prepare(images((3, 8, 8)), contract((3, 6, 6), 3, 6, 6))


def test_the_contract_exports_with_the_network_for_any_batch(tmp_path) -> None:
    network_input = contract_for("cnn", stored=(3, 28, 28), mean=[0.1], std=[0.3])
    network_input = network_input.model_copy(update={"stored": (1, 37, 50)})
    model = torch.nn.Sequential(Inputs(network_input), build("cnn", 4, input=network_input)).eval()
    program = torch.onnx.export(
        model,
        (images((1, 37, 50)),),
        dynamo=True,
        input_names=["images"],
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 7):
        batch = images((1, 37, 50), count)
        with torch.no_grad():
            assert np.allclose(session.run(None, {"images": batch.numpy()})[0], model(batch).numpy(), atol=1e-5)


def test_tracing_leaves_nothing_unreal_in_the_cache() -> None:
    wanted = contract((3, 11, 11), 3, 13, 13)

    class Prepared(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return prepare(batch, wanted)

    torch.export.export(Prepared(), (images((3, 11, 11)),), strict=False)
    assert type(prepare(images((3, 11, 11)), wanted)) is torch.Tensor
