"""Test the drawings: bytes and tiles over time, coverage on the sky."""

import base64
import contextlib
import io
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

from harness.language.catalogue import Language
from harness.record.history import DiskSample, Event, History, HoldStep, Operation, TileStep
from harness.record.products import Products
from reports.html import charts, planes, skymap
from tests import micro
from tests.sample_session import cards

EN = Language("en")
EMPTY = History((), (), (), (), (), (), (), frozenset(), ())
CACHE = "outputs/.zemosaic_img_cache/preprocessed_{}.npy"


def op(t, kind, path, *, to=None, size=None, state="done"):
    """Return a file operation."""
    return Operation(t, 1, "MainThread", kind, state, path, to, size, None, None)


def step(t, state, tile=0, thread="w0", **facts):
    """Return a step of a tile."""
    values = {"frames": ("a",), "caches": (CACHE.format("a"),), "reference": None, "outcome": None}
    values |= {"path": None, "error": None, "retry_of": None}
    return TileStep(t, 1, thread, state, tile, **(values | facts))


def phase(t, number):
    """Return the announcement of a phase."""
    return Event(t, 1, "MainThread", "callback", "PHASE_UPDATE", "INFO", str(number), MappingProxyType({}))


def history(**parts):
    """Return a history with these parts."""
    return replace(EMPTY, **parts)


def test_decimation_keeps_extremes():
    """A long series keeps the lowest and the highest value of each bin, its first and its last."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=100_000)
    bins = np.repeat(np.arange(1000), 100)
    kept = charts.decimate(values, bins)
    assert kept.size <= 4000
    assert kept[0] == 0
    assert kept[-1] == 99_999
    for n in (0, 17, 999):
        part = values[bins == n]
        drawn = values[kept][bins[kept] == n]
        assert (drawn.min(), drawn.max()) == (part.min(), part.max())


def test_decimation_of_nothing():
    """An empty series stays empty."""
    assert charts.decimate(np.zeros(0), np.zeros(0, dtype=np.int64)).size == 0


def test_the_bytes_chart_shows_trace_and_samples():
    """Both lines are drawn on one scale, with the peak and the bytes left at the end."""
    folder = "outputs/.zemosaic_img_cache"
    seen = history(
        events=(phase(0, 1), phase(5 * 10**9, 3)),
        operations=(op(10**9, "save", CACHE.format("a"), size=10**6), op(8 * 10**9, "remove", CACHE.format("a"))),
        disk=(
            DiskSample(0, folder, 0, 0, 1),
            DiskSample(10**10, folder, 2 * 10**6, 1, 1),
            DiskSample(1, "outputs", 9**9, 1, 1),
        ),
    )
    chart = charts.bytes_chart(seen, charts.clock(seen), EN)
    assert (chart.peak, chart.last) == (10**6, 0)
    assert chart.traced == "0,1000 100,1000 100,500 800,500 800,1000 1000,1000"
    assert chart.bound == ""  # no tile uses the cache
    assert chart.sampled == "0,1000 1000,1000 1000,0"
    assert [(b.label, b.left, b.width) for b in chart.phases] == [("1", 0.0, 50.0), ("3", 50.0, 50.0)]
    assert [t.label for t in chart.y_ticks][-1] == "2\u00a0MB"


def test_nothing_seen_has_no_clock_and_no_lines():
    """A record without history gives no axis; one without caches no lines."""
    assert charts.clock(EMPTY) is None
    seen = history(events=(phase(5, 1),))
    chart = charts.bytes_chart(seen, charts.clock(seen), EN)
    assert (chart.traced, chart.sampled, chart.x_ticks) == ("", "", ())


def test_retentions_share_a_scale_of_bytes_and_have_their_own_time():
    """The line starts with the bytes live when Phase 3 begins; a run without a recorded end of Phase 3 is left out."""
    runs = {name: micro.counted(retention=name).record().history for name in ("per_tile", "run_end")}
    runs["keep"] = micro.Micro().begin().record(products=None).history
    drawn = charts.retained(runs, EN)
    assert [one.retention for one in drawn] == ["per_tile", "run_end"]
    assert drawn[0].live.startswith("0,0 ")
    assert drawn[0].live.endswith("1000,1000")
    assert drawn[1].live == "0,0 1000,0"
    assert drawn[1].bound.endswith("1000,1000")
    assert charts.retained({"keep": runs["keep"]}, EN) == ()


def test_an_interval_stands_beside_what_it_means():
    """All marks lie within the scale, in the order of their values."""
    one = charts.spread(
        "ratio", "words", (1.05, 0.95, 1.2), (0.9, 1.3), (charts.Tick(1.0, "equal"), charts.Tick(1.1, "limit"))
    )
    equal, limit = (line.at for line in one.lines)
    places = [0, one.points[0], one.low, equal, one.value, limit, one.high, one.points[1], 100]
    assert places == sorted(places)
    assert charts.spread("", "", (1.0, 1.0, 1.0), (), ()).value == 50.0


def test_the_timeline_shows_tiles_by_thread():
    """Waiting, making, collecting and failing look different; a tile that never ended extends to the end."""
    seen = history(
        steps=(
            step(0, "submitted", 0),
            step(0, "submitted", 1),
            step(0, "submitted", 2),
            step(0, "submitted", 3),
            step(10, "started", 0),
            step(20, "started", 1, "w1"),
            step(50, "ended", 0, outcome="made"),
            step(60, "started", 2),
            step(70, "ended", 1, "w1", outcome="failed"),
            step(80, "collected", 0),
            step(100, "collected", 1),
        )
    )
    drawn = charts.timeline(seen, charts.clock(seen), EN)
    assert [(row.label, [b.state for b in row.bars]) for row in drawn.rows] == [
        ("w0", ["made", "open"]),
        ("w1", ["failed"]),
        ("never started", ["open"]),
    ]
    first = drawn.rows[0].bars[0]
    assert (first.waited_from, first.left, first.width, first.collected) == (0.0, 10.0, 40.0, 80.0)
    assert drawn.rows[0].bars[1].width == 40.0
    assert drawn.rows[1].bars[0].label == "1 ✗"
    assert drawn.failed


def test_the_timeline_shows_removals_and_holds():
    """Each removed cache is a mark; a hold is a band from the wait to its end, labelled with its result."""
    seen = history(
        steps=(step(0, "submitted"), step(1000, "collected")),
        operations=(op(500, "remove", CACHE.format("a")), op(600, "remove", "outputs/other.fits")),
        holds=(
            HoldStep(100, "waiting", 3, 2, ""),
            HoldStep(200, "waiting", 4, 2, ""),
            HoldStep(300, "met", 3, 2, ""),
            HoldStep(400, "unmet", 4, 2, "no worker is free"),
        ),
    )
    drawn = charts.timeline(seen, charts.clock(seen), EN)
    assert drawn.removals == "M500 0V1000"
    assert drawn.removed == 1
    assert [(h.left, h.width, h.label) for h in drawn.holds] == [
        (10.0, 20.0, "group 3 waits for 2: met"),
        (20.0, 20.0, "group 4 waits for 2: not met"),
    ]
    assert drawn.holds[1].title.endswith("no worker is free")


def test_too_many_tiles_are_counted():
    """The number of bars is limited, and the drawing says how many are left out."""
    many = charts.MAX_BARS + 7
    steps = tuple(step(n, state, n) for n in range(many) for state in ("submitted", "started"))
    drawn = charts.timeline(history(steps=steps), charts.Clock(0, many), EN)
    assert sum(len(row.bars) for row in drawn.rows) == charts.MAX_BARS
    assert drawn.left_out == 7


def test_a_tile_that_failed_at_once_can_be_seen():
    """A bar too short for its label has the label next to it if the tile failed, and no label if it was made."""
    seen = history(
        steps=(
            step(0, "submitted", 0),
            *(step(t, "started", n) for n, t in enumerate((10, 100, 900))),
            *(
                step(t + 1, "ended", n, outcome=o)
                for n, t, o in ((0, 10, "failed"), (1, 100, "made"), (2, 900, "failed"))
            ),
            step(1000, "collected", 0),
        )
    )
    (row,) = charts.timeline(seen, charts.clock(seen), EN).rows
    assert [(bar.label, bar.beside) for bar in row.bars] == [("0 ✗", "right"), ("", ""), ("2 ✗", "left")]
    assert min(bar.width for bar in row.bars) > 0


def test_a_bar_has_its_label_where_there_is_room():
    """A bar of a twenty-fifth of the time holds one digit, and not three."""
    seen = history(
        steps=(
            *(step(t, "started", n) for n, t in ((5, 0), (105, 500))),
            *(step(t + 40, "ended", n, outcome="made") for n, t in ((5, 0), (105, 500))),
            step(1000, "collected", 5),
        )
    )
    (row,) = charts.timeline(seen, charts.clock(seen), EN).rows
    assert [bar.label for bar in row.bars] == ["5", ""]


def test_the_clock_starts_with_the_target():
    """Samples from before the target's first record are not drawn, unless the target left no record."""
    folder = "outputs/.zemosaic_img_cache"
    disk = tuple(DiskSample(t, folder, t, 1, 1) for t in (0, 50, 100))
    seen = history(disk=disk, operations=(op(50, "save", CACHE.format("a"), size=1),))
    assert charts.clock(seen) == charts.Clock(50, 100)
    assert charts.bytes_chart(seen, charts.Clock(50, 100), EN).sampled == "0,1000 0,500 1000,500 1000,0"
    assert charts.clock(history(disk=disk)) == charts.Clock(0, 100)


@pytest.mark.parametrize("seconds", [0.003, 0.7, 8.0, 61.0, 4000.0])
def test_time_ticks_are_few_and_round(seconds):
    """Whatever the span, an axis has a handful of ticks, starting at 0."""
    axis = charts.Clock(0, int(seconds * 1e9))
    ticks = charts.timeline(EMPTY, axis, EN).x_ticks
    assert 3 <= len(ticks) <= 6
    assert ticks[0].label == "0\u00a0s"


def products(depth, wcs=None):
    """Return products with this coverage."""
    depth = np.asarray(depth, dtype=np.float32)
    return Products("outputs/m.fits", wcs or cards(), 1, depth > 0, depth, np.zeros((0, 3)), (), None)


def pixels(shown):
    """Return a map's picture, RGBA."""
    data = base64.b64decode(shown.picture.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def square(x0, x1, y0, y1, wcs):
    """Return the outline of a square of pixels on the sky."""
    from harness.analysis.footprint import sky_of

    return np.column_stack(sky_of(wcs, np.array([x0, x1, x1, x0]) - 0.5, np.array([y0, y0, y1, y1]) - 0.5))


def test_coverage_is_drawn_with_its_lowest_row_below():
    """FITS counts rows from below: what is covered at row 0 is at the bottom; uncovered is transparent."""
    depth = np.zeros((40, 60))
    depth[:10] = 1
    drawn = skymap.maps(products(depth), None, (), 100)
    alpha = pixels(drawn.run)[..., 3]
    assert alpha[-1].min() == 255
    assert alpha[0].max() == 0
    assert drawn.pair is None


def test_run_and_pair_share_sky_and_scale():
    """The run's smaller canvas is placed on the pair's, and a hole outside it is outlined at its position."""
    whole = np.ones((40, 60))
    whole[:, 20:30] = 2
    shifted = dict(cards())
    shifted["CRPIX1"] -= 20
    drawn = skymap.maps(
        products(whole[:, 20:], shifted), products(whole), [planes.Outline("1", square(0, 20, 0, 40, cards()))], 100
    )
    assert drawn.same_sky
    assert (drawn.run.width, drawn.run.height) == (drawn.pair.width, drawn.pair.height) == (60, 40)
    run, pair = pixels(drawn.run), pixels(drawn.pair)
    assert run[:, :19, 3].max() == 0
    assert np.array_equal(run[:, 21:], pair[:, 21:])
    assert [(level.low, level.high) for level in drawn.levels] == [(1.0, 1.0), (2.0, 2.0)]
    (hole,) = drawn.run.holes
    assert (hole.number, hole.x, hole.y) == ("1", pytest.approx(10, abs=0.1), pytest.approx(20, abs=0.1))


def test_a_canvas_grows_to_hold_the_run():
    """Where the run reaches beyond its pair, both are drawn on a larger canvas."""
    shifted = dict(cards())
    shifted["CRPIX1"] += 15
    drawn = skymap.maps(products(np.ones((40, 60)), shifted), products(np.ones((40, 60))), (), 100)
    assert drawn.run.width == 75
    assert pixels(drawn.pair)[:, :14, 3].max() == 0
    assert pixels(drawn.run)[:, 61:, 3].max() == 0


def test_far_skies_are_drawn_apart():
    """Coverages of different skies can't be compared, and the maps say so."""
    far = dict(cards()) | {"CRVAL1": 80.0}
    drawn = skymap.maps(
        products(np.ones((40, 60)), far),
        products(np.ones((40, 60))),
        [planes.Outline("1", square(0, 5, 0, 5, far))],
        100,
    )
    assert not drawn.same_sky
    assert drawn.unplaced == 1


def test_a_small_hole_survives_a_small_drawing():
    """When elements are binned, one uncovered element makes its block uncovered."""
    depth = np.ones((1000, 1000))
    depth[500, 500] = 0
    assert (pixels(skymap.maps(products(depth), None, (), 100).run)[..., 3] == 0).sum() == 1


def test_many_values_are_shown_in_steps():
    """A coverage with many values uses all steps of the scale, from the lowest to the highest value."""
    depth = np.linspace(1, 50, 2400).reshape(40, 60)
    levels = skymap.maps(products(depth), None, (), 100).levels
    assert len(levels) == len(skymap.SCALE)
    assert (levels[0].low, levels[-1].high) == (1.0, 50.0)


def test_cards_that_make_no_sense_still_give_a_map():
    """Without a WCS there are no directions and no outlines, but the coverage is drawn."""
    drawn = skymap.maps(
        products(np.ones((40, 60)), {"CTYPE1": "?"}),
        products(np.ones((40, 60))),
        [planes.Outline("1", np.ones((3, 2)))],
        100,
    )
    assert drawn.run.compass is None
    assert drawn.unplaced == 1


def test_a_far_outline_shrinks_no_map():
    """A hole far from the mosaic is counted but not drawn; the canvas stays the same."""
    whole = products(np.ones((40, 60)))
    drawn = skymap.maps(whole, whole, [planes.Outline("1", square(0, 5, 0, 5, dict(cards()) | {"CRVAL1": 36.0}))], 100)
    assert (drawn.run.width, drawn.same_sky, drawn.unplaced) == (60, True, 1)


def test_north_is_up_and_east_is_left():
    """The compass follows the WCS; the scale bar has a round length."""
    compass = skymap.maps(products(np.ones((40, 60))), None, (), 100).run.compass
    assert compass.north == pytest.approx((0, -1), abs=0.01)
    assert compass.east == pytest.approx((-1, 0), abs=0.01)
    assert compass.arcminutes == 1
    assert compass.bar == pytest.approx(1 / 60 / 0.0015, rel=0.01)


def test_nothing_covered_has_no_map():
    """Without a mosaic there is no map; an empty mosaic is drawn as uncovered."""
    assert skymap.maps(None, None, (), 100) is None
    assert skymap.maps(products(np.zeros((4, 6))), None, (), 100).levels == ()


def test_photographs_are_decoded_and_written_anew(tmp_path):
    """A record's picture is scaled down and flipped to match the maps; uncovered sky is grey."""
    picture = np.zeros((60, 80, 4), dtype=np.uint8)
    picture[:20] = (255, 0, 0, 255)
    Image.fromarray(picture, "RGBA").save(tmp_path / "t.png")
    uri, width, height = skymap.photograph(skymap.read_photograph(tmp_path, "t.png"), 40)
    assert uri.startswith("data:image/jpeg;base64,")
    assert (width, height) == (40, 30)
    made = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert made[-3, 20, 0] > 200 > made[-3, 20, 1] + 100
    assert abs(int(made[3, 20, 0]) - skymap.UNCOVERED[0]) < 12


@pytest.mark.parametrize("name", ["absent.png", "../outside.png", "text.png", "folder/t.png", "linked.png"])
def test_a_picture_that_is_none_is_left_out(tmp_path, name):
    """A missing or broken picture, one outside the record, and a link to a picture of the user are ignored."""
    record = tmp_path / "record"
    record.mkdir()
    (tmp_path / "user").mkdir()
    for path in (tmp_path / "outside.png", tmp_path / "user" / "t.png"):
        Image.new("RGBA", (4, 4)).save(path)
    (record / "text.png").write_text("no picture", encoding="utf-8")
    with contextlib.suppress(OSError):  # on Windows without the privilege
        (record / "linked.png").symlink_to(tmp_path / "user" / "t.png")
        (record / "folder").symlink_to(tmp_path / "user")
    assert skymap.read_photograph(record, name) is None
