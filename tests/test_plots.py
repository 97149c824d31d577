"""Pictures: they hold the points they are given, and say what is missing."""

import sys

import numpy as np
import pytest

from implicitcg import plots
from implicitcg.cli import command, main
from implicitcg.plots.tuning import refined
from implicitcg.tuning import Curve, Outcome, Stationarity, TuneResult

KNOTS = np.log([0.2, 0.5, 1.0, 2.0])


@pytest.fixture
def result():
    """A search that ended on the kink of `|log alpha| + (log alpha)^2 / 2`."""
    theta = np.linspace(-3, 3, 61)
    value = np.abs(theta) + theta**2 / 2
    slope = np.where(theta < 0, -1, 1) + theta
    return TuneResult(
        theta=np.float64(0.0),
        value=0.0,
        status=Outcome.stationary_kink,
        stationarity=Stationarity(np.array([-1.0, 1.0]), 0.0, "stationary"),
        history=[],
        solves=61,
        seconds=0.1,
        curve=Curve(theta, value, np.full(61, 0.3), slope),
        knots=KNOTS,
        one_sided_slopes=(-1.0, 1.0),
    )


@pytest.fixture
def axes():
    """Axes that belong to no window."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    return figure.subplots()


def labelled(ax, start):
    return next(line for line in ax.lines if str(line.get_label()).startswith(start))


def test_the_tuning_picture_marks_the_best_point_the_kinks_and_other_choices(result, axes):
    assert plots.tuning(result, ax=axes, criterion="CV error", marks={"LassoCV": (1.1, 0.2)}) is axes
    best = labelled(axes, "best, alpha = 1")
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (1.0, 0.0)
    assert labelled(axes, "LassoCV").get_xydata().tolist() == [[1.1, 0.2]]
    assert any(np.array_equal(line.get_xdata(), np.exp(KNOTS)) for line in axes.lines)
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "CV error"
    assert [type(patch).__name__ for patch in axes.collections]  # the band of the standard error


def test_another_transform_has_a_linear_axis(result, axes):
    plots.tuning(result, ax=axes, transform=np.asarray, name="theta", ticks=False)
    assert axes.get_xscale() == "linear" and axes.get_xlabel() == "theta"


def test_the_zoom_draws_a_ray_for_every_one_sided_slope(result, axes):
    plots.zoom(result, ax=axes, width=0.5)
    low, high = axes.get_xlim()
    assert (low, high) == pytest.approx((np.exp(-0.5), np.exp(0.5)))
    rays = [line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 50]
    ends = sorted(ray[-1].tolist() for ray in rays)
    assert ends == [pytest.approx([low, 0.5]), pytest.approx([high, 0.5])]
    assert {text.get_text() for text in axes.texts} == {"slope −1", "slope +1"}


def test_a_refined_curve_is_exact_on_a_parabola_and_passes_through_every_point():
    theta = np.array([0.0, 1.0, 3.0])
    curve = Curve(theta, theta**2, theta, 2 * theta)
    fine, value, error = refined(curve)
    np.testing.assert_allclose(value, fine**2, atol=1e-12)
    np.testing.assert_allclose(error, fine, atol=1e-12)
    without_slopes = Curve(theta, theta, np.full(3, np.nan), np.full(3, np.nan))
    fine, value, _ = refined(without_slopes)
    np.testing.assert_allclose(value, fine, atol=1e-12)


def test_the_path_names_the_largest_coefficients_where_asked(axes):
    alphas, coefs = np.array([0.1, 1.0, 2.0]), np.array([[3.0, -9.0, 0.5], [2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    plots.path(alphas, coefs, names=("a", "b", "c"), chosen=1.0, ax=axes, most=2)
    assert axes.get_legend_handles_labels()[1] == ["a", "c"]
    line = labelled(axes, "a")
    # linear in the penalty, and so half of 2 at 1.5
    assert np.interp(1.5, line.get_xdata(), line.get_ydata()) == pytest.approx(1.0, abs=1e-3)


def test_the_kinks_of_every_path_have_a_row(axes):
    plots.kinks({"fold 1": [0.1, 0.3], "all rows": [0.2]}, ax=axes, chosen=0.25)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["fold 1", "all rows"]
    assert labelled(axes, "fold 1").get_xdata().tolist() == [0.1, 0.3]


def test_new_axes_are_made_when_none_are_given(result):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = plots.tuning(result)
    assert ax.figure is plt.gcf()
    plt.close("all")


def test_shapes_that_disagree_and_searches_without_a_curve_are_refused(result, axes):
    with pytest.raises(ValueError, match=r"\(m,\) and \(m, p\) are needed"):
        plots.path([1.0, 2.0], [[1.0]], ax=axes)
    import dataclasses

    with pytest.raises(ValueError, match="several hyperparameters"):
        plots.tuning(dataclasses.replace(result, curve=None), ax=axes)


def test_without_matplotlib_the_message_says_how_to_get_it(result, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'implicitcg\[plots\]'"):
        plots.tuning(result)
    assert main(["tune", "--data", "diabetes", "--plot", str(tmp_path / "out.png")]) == 2
    assert "pip install 'implicitcg[plots]'" in capsys.readouterr().err


@pytest.fixture
def noise(tmp_path):
    """A file of noise; both runs of the command below have its shape, compiled once."""
    pytest.importorskip("matplotlib")
    rows = "\n".join(",".join(map(str, row)) for row in np.random.default_rng(0).normal(size=(40, 3)))
    (tmp_path / "noise.csv").write_text(f"a,b,y\n{rows}\n")
    return tmp_path / "noise.csv"


def test_the_command_draws_what_it_found(noise, capsys):
    picture = noise.parent / "new" / "curve.png"
    assert main(["tune", str(noise), "--target", "y", "--no-compare", "--plot", str(picture)]) == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert f"wrote {picture}" in capsys.readouterr().out


def test_a_picture_that_fails_leaves_no_file(noise, monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("no ink")

    monkeypatch.setattr(command, "draw", broken)
    outputs = ["--plot", str(noise.parent / "curve.png"), "--out", str(noise.parent / "model.json")]
    assert main(["tune", str(noise), "--target", "y", "--no-compare", *outputs]) == 1
    assert "no ink" in capsys.readouterr().err
    assert [child.name for child in noise.parent.iterdir()] == ["noise.csv"]


def test_an_unknown_picture_format_is_refused_before_the_work(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["tune", "--data", "diabetes", "--plot", str(tmp_path / "curve.xyz")]) == 2
    assert ".png" in capsys.readouterr().err
