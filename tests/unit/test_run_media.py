"""Media: what becomes which file, to the pixel, and what is refused."""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import plotly.graph_objects
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image as PillowImage

import trackbridge as tb
from trackbridge.errors import MisuseError
from trackbridge.events.models import MediaLogged, MetricsLogged
from trackbridge.testing.written import events_of

mpl.use("Agg")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tb.Run]:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("media", root=tmp_path / "runs") as run:
        yield run


def stored(run: tb.Run, value: Any) -> tuple[MediaLogged, bytes]:
    """The event and the file's bytes after logging a value; the event's size and digest hold."""
    run.log({"it": value}, step=7)
    event = events_of(run.path, MediaLogged)[-1]
    content = (run.path / event.path).read_bytes()
    assert (event.name, event.step) == ("it", 7)
    assert (event.size_bytes, event.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return event, content


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(content)))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1), (3, 1000, 3)])
def test_an_array_is_read_back_to_the_pixel_from_its_png(run: tb.Run, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    before = array.copy()

    event, content = stored(run, tb.Image(array, caption="heat"))

    assert (event.media, event.caption, Path(event.path).suffix) == ("image", "heat", ".png")
    np.testing.assert_array_equal(pixels(content), before)
    np.testing.assert_array_equal(array, before)


def test_one_channel_is_grey(run: tb.Run) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)

    np.testing.assert_array_equal(pixels(stored(run, tb.Image(array))[1]), array[:, :, 0])


def test_an_array_that_is_not_contiguous_is_read_back_to_the_pixel(run: tb.Run) -> None:
    array = np.random.default_rng(1).integers(0, 256, (8, 6, 3), dtype=np.uint8)[::2, ::-1]

    np.testing.assert_array_equal(pixels(stored(run, tb.Image(array))[1]), array)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_from_0_to_1_span_the_whole_range(run: tb.Run, dtype: Any) -> None:
    array = np.array([[0.0, 0.5, 1.0]], dtype=dtype)

    np.testing.assert_array_equal(pixels(stored(run, tb.Image(array))[1]), [[0, 128, 255]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_with_gradient_is_a_picture_too(run: tb.Run, dtype: torch.dtype) -> None:
    tensor = torch.zeros(2, 2, dtype=dtype, requires_grad=True)

    np.testing.assert_array_equal(pixels(stored(run, tb.Image(tensor))[1]), np.zeros((2, 2)))


def test_encoded_pictures_keep_their_bytes_and_format(run: tb.Run, tmp_path: Path) -> None:
    picture = PillowImage.new("RGB", (3, 2), (255, 0, 0))
    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg"), ("GIF", ".gif"), ("WEBP", ".webp")):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        file = tmp_path / f"picture.{kind}"
        file.write_bytes(buffer.getvalue())
        for value in (buffer.getvalue(), bytearray(buffer.getvalue()), file, str(file)):
            event, content = stored(run, tb.Image(value))
            assert Path(event.path).suffix == suffix
            assert content == buffer.getvalue()


@pytest.mark.parametrize("start", ["<svg", '<?xml version="1.0"?>\n<!-- made by hand -->\n<svg'])
def test_svg_is_a_picture(run: tb.Run, start: str) -> None:
    svg = f'{start} xmlns="http://www.w3.org/2000/svg"/>'.encode()

    event, content = stored(run, tb.Image(svg))

    assert (Path(event.path).suffix, content) == (".svg", svg)


def test_a_pillow_image_is_read_back_to_the_pixel(run: tb.Run) -> None:
    array = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)

    np.testing.assert_array_equal(pixels(stored(run, PillowImage.fromarray(array))[1]), array)


def test_a_matplotlib_figure_becomes_an_image_and_stays_as_it_was(run: tb.Run) -> None:
    figure = Figure(figsize=(3, 2), dpi=50)
    figure.add_subplot().plot([1, 3, 2])
    before = (figure.dpi, tuple(figure.get_size_inches()), len(figure.axes[0].lines))

    event, content = stored(run, figure)

    assert event.media == "image"
    assert pixels(content).ndim == 3
    assert (figure.dpi, tuple(figure.get_size_inches()), len(figure.axes[0].lines)) == before


def test_a_plotly_figure_keeps_its_json(run: tb.Run) -> None:
    figure = plotly.graph_objects.Figure(plotly.graph_objects.Scatter(y=[1, 3, 2]))

    event, content = stored(run, figure)

    assert (event.media, Path(event.path).suffix) == ("plotly", ".json")
    assert json.loads(content)["data"][0]["y"] == [1, 3, 2]


def test_a_table_keeps_columns_and_values(run: tb.Run) -> None:
    rows = [["acceptable", np.int64(40), 0.5], ["odd", torch.tensor(2), float("nan")]]
    before = copy.deepcopy(rows)

    event, content = stored(run, tb.Table(["label", "n", "share"], (row for row in rows), caption="confusion"))

    assert (event.media, event.caption) == ("table", "confusion")
    assert json.loads(content) == {
        "columns": ["label", "n", "share"],
        "rows": [["acceptable", 40, 0.5], ["odd", 2, {"$float": "NaN"}]],
    }
    assert str(rows) == str(before)


def test_a_histogram_counts_every_value_once(run: tb.Run) -> None:
    values = torch.tensor([0.0, 0.5, 1.0, float("nan"), float("inf")])

    event, content = stored(run, tb.Histogram(values, bins=2))

    assert event.media == "histogram"
    assert json.loads(content) == {"edges": [0.0, 0.5, 1.0], "counts": [1, 2], "n_nonfinite": 2}


@pytest.mark.parametrize(
    "values",
    [
        [], [3.0], [2.0] * 5, range(10), torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True),
        [1.0, 1.0 + 2**-52], [-1e308, 1e308], [True, False], np.float32(3),
    ],
    ids=str,
)  # fmt: skip
def test_any_numbers_have_a_histogram(run: tb.Run, values: Any) -> None:
    content = json.loads(stored(run, tb.Histogram(values))[1])

    assert sum(content["counts"]) == np.asarray(torch.as_tensor(values).detach().float()).size
    assert len(content["edges"]) == len(content["counts"]) + 1
    assert content["edges"] == sorted(content["edges"])


def test_a_text_is_a_file_in_utf_8(run: tb.Run) -> None:
    event, content = stored(run, tb.Text("Größe 🙂\n", caption="sample"))

    assert (event.media, Path(event.path).suffix, content.decode()) == ("text", ".txt", "Größe 🙂\n")


def test_scalars_and_media_of_one_call_share_the_step(run: tb.Run) -> None:
    run.log({"a": 0.5, "sample": tb.Text("x")}, step=3, epoch=1.0)

    (metrics,), (media,) = events_of(run.path, MetricsLogged), events_of(run.path, MediaLogged)
    assert (metrics.step, metrics.metrics, metrics.epoch) == (3, {"a": 0.5}, 1.0)
    assert (media.step, media.name) == (3, "sample")


def test_the_same_content_is_stored_once(run: tb.Run) -> None:
    for step in range(3):
        run.log({"sample": tb.Text("the same")}, step=step)

    assert len(events_of(run.path, MediaLogged)) == 3
    assert len(list((run.path / "files" / "media").iterdir())) == 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: tb.Table(["a", "b"], [[1, 2], [1]]), "table row 1 has 1 values for 2 columns"),
        (lambda: tb.Table(["a"], [1, 2]), "table row 0 is 1 (int); expected a sequence of 1 values"),
        (lambda: tb.Table(["a"], ["x"]), "table row 0 is 'x' (str); expected a sequence"),
        (lambda: tb.Table("abc", []), "columns is 'abc'; expected several texts: columns=['abc']"),
        (lambda: tb.Table(["a"], 5), "rows is 5 (int); expected"),
        (lambda: tb.Text(5), "tb.Text takes a string, not int"),
        (lambda: tb.Text("x", caption=5), "caption is 5 (int); expected a text"),
        (lambda: tb.Histogram(["x"]), "tb.Histogram takes numbers"),
        (lambda: tb.Histogram([1 + 2j]), "tb.Histogram takes numbers"),
        (lambda: tb.Histogram([1.0], bins=0), "bins is 0; expected an integer from 1"),
        (lambda: tb.Histogram([1.0], bins="auto"), "bins is 'auto'; expected an integer from 1"),
        (lambda: tb.Image(np.zeros((3, 8, 9), np.uint8)), "this one has (3, 8, 9): for channels first, transpose"),
        (lambda: tb.Image(np.zeros((2, 3, 4, 5), np.uint8)), "this one has (2, 3, 4, 5)"),
        (lambda: tb.Image(np.zeros((0, 5), np.uint8)), "this one has (0, 5"),
        (lambda: tb.Image(np.array([[0, 300]])), "uint8, or floats from 0 to 1; this one is int64 from 0 to 300"),
        (lambda: tb.Image(np.array([[0.0, 1.5]])), "this one is float64 from 0.0 to 1.5"),
        (lambda: tb.Image(np.array([[0.0, np.nan]])), "this one is float64 from nan to nan"),
        (lambda: tb.Image(b"not a picture"), "13 bytes starting with b'not a pi' are no PNG, JPEG, GIF, WebP or SVG"),
        (lambda: tb.Image(b"RIFF1234WAVE"), "are no PNG"),
        (lambda: tb.Image("gone.png"), "picture 'gone.png' cannot be read: No such file"),
        (lambda: tb.Image(None), "tb.Image takes"),
        (lambda: tb.Image("x", caption="y"), "cannot be read"),
    ],
)
def test_what_is_no_media_is_refused_with_the_value_and_the_fix(make: Any, told: str) -> None:
    with pytest.raises(MisuseError) as caught:
        make()

    assert told in str(caught.value)


def test_a_media_value_that_is_refused_leaves_nothing_of_its_call(run: tb.Run) -> None:
    with pytest.raises(MisuseError, match="'b'"):
        run.log({"a": 1.0, "t": tb.Text("x"), "b": "text"}, step=1)

    assert events_of(run.path, MetricsLogged) == []
    assert not (run.path / "files").exists()


def test_media_that_cannot_be_stored_is_counted_and_told_once(run: tb.Run, caplog: pytest.LogCaptureFixture) -> None:
    (run.path / "files").write_text("a file where the folder should be")

    for step in range(3):
        run.log({"a": 1.0, "sample": tb.Text(f"text {step}")}, step=step)
    run.log({"a": 2.0}, step=3)

    from trackbridge.events.models import EventsDropped

    dropped = events_of(run.path, EventsDropped)
    assert sum(event.counts["media_logged"] for event in dropped) == 3
    assert len(events_of(run.path, MetricsLogged)) == 4
    assert len([record for record in caplog.records if "trackbridge" in record.name]) == 1


def test_a_strict_run_raises_when_media_cannot_be_stored(tmp_path: Path) -> None:
    from trackbridge.errors import JournalWriteError

    run = tb.start_run("strict", root=tmp_path, strict=True)
    (run.path / "files").write_text("a file where the folder should be")

    with pytest.raises(JournalWriteError):
        run.log({"sample": tb.Text("text")}, step=1)
    run.finish()
