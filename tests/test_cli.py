"""The command: what it prints and writes on good input, and what it says about bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

from implicitcg import SolveError, Status
from implicitcg.cli import command, datasets, document, features, files, main, models, picture
from implicitcg.cli.datasets import bundled
from implicitcg.cli.fit import Fit, Tasks
from implicitcg.cli.mistakes import Mistake
from implicitcg.cli.table import read_table
from implicitcg.tuning import Outcome, Stationarity, Step, TuneResult

GOOD = "a,b,y\n1,2,3\n2,1,5\n3,7,8\n4,2,8\n5,9,11\n6,0,13\n"


def sample():
    """Rows with signal, noise and five columns; every run of the command below has this shape, compiled once."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 4)) @ np.diag([1.0, 30.0, 0.1, 2.0]) + [5.0, -100.0, 0.0, 1.0]
    y = 2 * X[:, 0] - 0.03 * X[:, 1] + rng.normal(size=40)
    return X, y


def write(path, X, y, names=("age", "dose, mg", "s*t", "d"), target="price", delimiter=","):
    header = delimiter.join(f'"{name}"' for name in (*names, target))
    rows = [delimiter.join(repr(float(value)) for value in row) for row in np.column_stack([X, y])]
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """One run with every output, and what it printed."""
    folder = tmp_path_factory.mktemp("tuned")
    table = write(folder / "houses.csv", *sample())
    out = folder / "new" / "model.json"
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("sys.stdout.write", printed.append)
        patch.setenv("COLUMNS", "100")
        code = main(["tune", table, "--target", "price", "--model", "lasso", "--cv", "5", "--out", str(out)])
    assert code == 0
    return table, out, "".join(printed)


def fails(capsys, *arguments, code=2):
    """Run the command, which must end with `code` and a message of its own; return the message."""
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1] if captured.err.startswith("usage") else captured.err


def test_the_table_says_all_that_the_issue_asks_for(tuned):
    _, _, printed = tuned
    wanted = ["alpha", "CV error", "standard error", "slope to the left", "slope to the right", "0 between them"]
    wanted += ["support", "certificate", "certified", "solves", "seconds", "LassoCV", "tol=1e-08", "1000 penalties"]
    assert [word for word in wanted if word not in printed] == []


def test_the_error_is_at_least_as_good_as_that_of_lassocv(tuned):
    stored = json.loads(tuned[1].read_text())
    # LassoCV stops at a duality gap of 1e-8 relative, which moves its error by no more than that
    assert stored["cross_validation"]["error"] <= stored["scikit_learn"]["error"] * (1 + 1e-8)


def test_the_model_file_describes_itself(tuned):
    stored = json.loads(tuned[1].read_text())
    assert set(stored["versions"]) == {"implicitcg", "jax", "numpy", "scikit-learn", "python"}
    assert stored["data"] == {
        "name": "houses.csv",
        "rows": 40,
        "features": ["age", "dose, mg", "s*t", "d"],
        "target": "price",
    }
    X, y = sample()
    np.testing.assert_allclose(stored["features"]["mean"], X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(stored["features"]["scale"], X.std(axis=0), rtol=1e-14)
    assert stored["intercept"] == pytest.approx(y.mean(), rel=1e-12)
    assert stored["certificate"]["verdict"] == "certified"
    cross_validation = stored["cross_validation"]
    assert np.mean(cross_validation["fold_errors"]) == pytest.approx(cross_validation["error"], rel=1e-12)
    assert cross_validation["slope_left"] <= 1e-6 and cross_validation["slope_right"] >= -1e-6


def test_the_model_is_the_lasso_solution_at_its_alpha(tuned):
    stored = json.loads(tuned[1].read_text())
    X, y = sample()
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    w = np.array(stored["coefficients"])
    gradient = Z.T @ (y - stored["intercept"] - Z @ w) / len(y)
    # the optimality conditions hold up to the solver's rounding
    np.testing.assert_allclose(gradient[w != 0], stored["alpha"] * np.sign(w[w != 0]), rtol=0, atol=1e-10)
    assert np.all(np.abs(gradient[w == 0]) <= stored["alpha"] + 1e-10)


def test_predict_applies_the_model_to_columns_in_any_order(tuned, tmp_path, capsys):
    table, out, _ = tuned
    X, y = sample()
    shuffled = write(tmp_path / "new.csv", X[:, ::-1], y, names=("d", "s*t", "dose, mg", "age"), delimiter=";")
    assert main(["predict", str(out), shuffled]) == 0
    target, *printed = capsys.readouterr().out.splitlines()
    stored = json.loads(out.read_text())
    scaling = stored["features"]
    Z = (X - scaling["mean"]) / scaling["scale"]
    np.testing.assert_allclose(np.array(printed, float), stored["intercept"] + Z @ stored["coefficients"], rtol=1e-13)
    assert target == "price"
    assert main(["predict", str(out), table, "--out", str(tmp_path / "prices.csv")]) == 0
    assert (tmp_path / "prices.csv").read_text().splitlines() == [target, *printed]


def test_predict_names_the_columns_it_misses(tuned, tmp_path, capsys):
    X, y = sample()
    other = write(tmp_path / "other.csv", X, y, names=("age", "dose", "e", "d"))
    message = fails(capsys, "predict", tuned[1], other)
    assert "'dose, mg' and 's*t'" in message and "feature of the model" in message


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "implicitcg model 1"}', "a,b\n1,2\n"])
def test_predict_refuses_what_is_not_a_model(content, tmp_path, capsys):
    model = tmp_path / "model.json"
    model.write_text(content)
    (tmp_path / "data.csv").write_text(GOOD)
    assert "model.json" in fails(capsys, "predict", model, tmp_path / "data.csv")


def test_json_and_quiet_print_nothing_else(tuned, capsys):
    assert main(["tune", tuned[0], "--target", "price", "--json", "--no-compare"]) == 0
    captured = capsys.readouterr()
    printed, written = json.loads(captured.out), json.loads(tuned[1].read_text())
    assert printed["coefficients"] == written["coefficients"] and printed["scikit_learn"] is None
    assert captured.err == ""
    assert main(["tune", tuned[0], "--target", "price", "--quiet", "--no-compare"]) == 0
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_single_precision_runs_and_says_so(tuned, capsys):
    import jax

    before = jax.config.jax_enable_x64
    assert main(["tune", tuned[0], "--target", "price", "--json", "--no-compare", "--float32"]) == 0
    single, double = json.loads(capsys.readouterr().out), json.loads(tuned[1].read_text())
    assert single["dtype"] == "float32" and double["dtype"] == "float64"
    np.testing.assert_allclose(single["cross_validation"]["error"], double["cross_validation"]["error"], rtol=1e-4)
    assert jax.config.jax_enable_x64 == before


def test_twins_and_constants_are_named_and_the_certificate_is_singular(tmp_path, capsys):
    X, y = sample()
    X[:, 2], X[:, 3] = -3 * X[:, 0] + 1, 0.1
    table = write(tmp_path / "twins.csv", X, y)
    assert main(["tune", table, "--target", "price", "--no-compare"]) == 0
    captured = capsys.readouterr()
    assert "'s*t' repeats 'age'" in captured.err and "'d' never varies" in captured.err
    assert "singular" in captured.out and "dependent" in captured.out


BAD = {
    "is empty": "",
    "header and no rows": "a,b,y\n",
    "only the column 'y'": "y\n1\n2\n3\n",
    "Did you mean 'y1'?": GOOD.replace("y", "y1"),
    "text where numbers are needed, in 1 column: 'b' ('red' on line 3)": GOOD.replace("2,1,5", "2,red,5"),
    "The target 'y' must be a number": GOOD.replace("2,1,5", "2,1,yes"),
    "2 missing values in 2 rows: 'b', lines 2, 4. Delete": GOOD.replace("1,2,3", "1,,3").replace("3,7,8", "3,NA,8"),
    "without its target 'y'": GOOD.replace("2,1,5", "2,1,"),
    "infinite values in 'b' (line 3)": GOOD.replace("2,1,5", "2,-inf,5"),
    "'y' is 3 in every row": "a,b,y\n1,2,3\n2,1,3\n3,7,3\n4,2,3\n5,1,3\n",
    "Every feature": "a,b,y\n1,2,3\n1,2,5\n1,2,4\n1,2,1\n1,2,0\n",
    "2 rows; cross-validation needs": "a,b,y\n1,2,3\n2,3,4\n",
    "4 rows, fewer than the 5 folds": "a,b,y\n1,2,3\n2,1,5\n3,7,8\n4,2,8\n",
    "repeats 'a'": "a,a,y\n1,2,3\n",
    "column 1 has no name": ",b,y\n1,2,3\n",
    "numbers where the column names belong": "1,2,3\n4,5,6\n",
    "line 3 has 2 values and the header names 3 columns": "a,b,y\n1,2,3\n1,2\n",
    "Check the quotes": 'a,b,y\n1,"2,3\n4,5,6\n',
    "write 3.5 for 3,5": "a;b;y\n1,5;2;3\n2;2;4\n",
    "iconv -f latin1": "a,b,\xe9\n1,2,3\n".encode("latin1"),
    "iconv -f utf-16": "a,b,y\n1,2,3\n".encode("utf-16"),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_table_is_refused_with_its_cause(message, tmp_path, capsys):
    table, out = tmp_path / "bad.csv", tmp_path / "model.json"
    table.write_bytes(BAD[message] if isinstance(BAD[message], bytes) else BAD[message].encode())
    said = fails(capsys, "tune", table, "--target", "y", "--out", out)
    assert message in said and said.startswith("implicitcg tune: ")
    assert [child.name for child in tmp_path.iterdir()] == ["bad.csv"]


ARGUMENTS = {
    "Which data?": [],
    "Add --target": ["good.csv"],
    "not both": ["good.csv", "--data", "diabetes"],
    "Did you mean 'good.csv'?": ["god.csv", "--target", "y"],
    "is a directory; a CSV file": ["folder", "--target", "y"],
    "Did you mean 'diabetes'?": ["--data", "diabetis"],
    "must be downloaded": ["--data", "california_housing"],
    "labels, not amounts": ["--data", "wine", "--target", "target"],
    "'Weight', 'Waist' and 'Pulse'": ["--data", "linnerud"],
    "Did you mean 'alcohol'?": ["--data", "wine", "--target", "alcohool"],
    "Did you mean 'lasso'?": ["good.csv", "--target", "y", "--model", "laso"],
    "no column 'q' to drop": ["good.csv", "--target", "y", "--drop", "q"],
    "both the target and to be dropped": ["good.csv", "--target", "y", "--drop", "y"],
    "no feature is left": ["good.csv", "--target", "y", "--drop", "a", "--drop", "b"],
    "20300 terms": ["good.csv", "--target", "y", "--polynomial", "200"],
    "folder is a directory": ["good.csv", "--target", "y", "--out", "folder"],
    "it would be overwritten": ["good.csv", "--target", "y", "--out", "good.csv"],
    "is a file and not a directory": ["good.csv", "--target", "y", "--out", "good.csv/model.json"],
    "not an ordinary file": ["good.csv", "--target", "y", "--out", "/dev/null"],
    "--cv: 1 is too small": ["good.csv", "--target", "y", "--cv", "1"],
    "invalid integer value: 'two'": ["good.csv", "--target", "y", "--cv", "two"],
    "unrecognized arguments": ["good.csv", "--bogus"],
}


@pytest.mark.parametrize("message", ARGUMENTS)
def test_bad_arguments_are_refused_before_the_work_begins(message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(command, "tuned", lambda *_, **__: pytest.fail("the work began"))
    assert message in fails(capsys, "tune", *ARGUMENTS[message])


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [(SolveError(Status.not_converged), 1, "max_steps"), (KeyboardInterrupt(), 130, "nothing was written")],
)
def test_a_failure_or_an_interrupt_leaves_no_file(failure, code, said, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise failure

    (tmp_path / "good.csv").write_text(GOOD)
    monkeypatch.setattr(command, "tuned", fail)
    arguments = ["tune", tmp_path / "good.csv", "--target", "y", "--quiet", "--out", tmp_path / "new" / "model.json"]
    assert said in fails(capsys, *arguments, code=code)
    assert [child.name for child in tmp_path.iterdir()] == ["good.csv"]


def test_files_are_written_together_or_not_at_all(tmp_path):
    old = tmp_path / "model.json"
    old.write_text("old")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(Mistake, match="cannot be written"):
        files.write_all({str(old): b"new", str(blocked / "plot.png"): b"new"})
    assert old.read_text() == "old"
    assert sorted(child.name for child in tmp_path.iterdir()) == ["file", "model.json"]
    files.write_all({str(old): b"new"})
    assert old.read_text() == "new"


def test_a_table_keeps_quotes_marks_and_blank_lines_apart(tmp_path):
    path = tmp_path / "quoted.csv"
    path.write_bytes(b'\xef\xbb\xbf"a;b";"say ""c"""\r\n"1";2.5e1\r\n\r\n 3 ;-4\r\n')
    table = read_table(path)
    assert table.names == ("a;b", 'say "c"') and table.lines == [2, 4]
    np.testing.assert_array_equal(table.numbers(table.names), [[1, 25], [3, -4]])


def test_the_quadratic_diabetes_model_has_64_terms():
    # ten features, their 45 products and nine squares: the square of sex says what sex says (Efron et al. 2004)
    data = bundled("diabetes", None)
    recipe, notes = features.learn_recipe(data.X, data.features, 2)
    assert len(recipe.terms) == 64 and "sex^2" not in recipe.terms and "bmi*bp" in recipe.terms
    assert any("sex^2" in note for note in notes)
    Z = recipe.apply(data.X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-13)


def test_a_recipe_survives_the_model_file():
    X, _ = sample()
    recipe, _ = features.learn_recipe(X, ("a", "b", "c", "d"), 3)
    again = features.Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again.terms == recipe.terms
    np.testing.assert_array_equal(again.apply(X), recipe.apply(X))


def test_help_shows_an_example_and_version_the_version(capsys):
    assert main(["tune", "--help"]) == 0
    assert "implicitcg tune houses.csv --target price" in capsys.readouterr().out
    assert main([]) == 2
    run = subprocess.run([sys.executable, "-m", "implicitcg", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout == f"implicitcg {document.installed('implicitcg')}\n" and run.stderr == ""


def test_a_classifier_is_tuned_and_its_file_predicts_probabilities(tmp_path, capsys):
    X, y = sample()
    label = (y > np.median(y)).astype(float)
    table = write(tmp_path / "patients.csv", X, label, target="ill")
    out = tmp_path / "model.json"
    arguments = ["tune", table, "--target", "ill", "--model", "sparse_logistic", "--cv", "3", "--out", str(out)]
    picture = tmp_path / "search.svg"
    assert main([*arguments, "--plot", str(picture)]) == 0
    assert "CV error" in picture.read_text() or picture.stat().st_size > 5000
    assert "alpha" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    assert stored["hyperparameters"] == {"alpha": stored["alpha"]} and stored["scikit_learn"] is None
    assert stored["certificate"]["verdict"] == "certified" and stored["versions"]["jax"]
    assert main(["predict", str(out), table]) == 0
    lines = capsys.readouterr().out.split()
    chance = np.array(lines[1:], float)
    assert lines[0] == "ill" and np.all((chance > 0) & (chance < 1))
    assert np.mean((chance > 0.5) == (label > 0)) > 0.7
    numbers = write(tmp_path / "b.csv", X, y)
    wrong = ["tune", numbers, "--target", "price", "--quiet", "--model"]
    assert "needs a target of 0 and 1" in fails(capsys, *wrong, "sparse_logistic")
    assert "double precision" in fails(capsys, *wrong, "linear_svr", "--float32")


def test_several_targets_and_groups_of_columns_are_named_on_the_command_line(capsys, tmp_path):
    numbers = write(tmp_path / "b.csv", *sample())
    begin = ["tune", numbers, "--target", "price", "--quiet", "--model"]
    assert "no column 'dd'" in fails(capsys, *begin, "multitask_lasso", "--also", "dd")
    assert "once for each" in fails(capsys, *begin, "multitask_lasso")
    assert "Several are for" in fails(capsys, *begin, "lasso", "--also", "d")
    assert "needs groups" in fails(capsys, *begin, "group_lasso")
    assert "'x' is no feature" in fails(capsys, *begin, "group_lasso", "--group", "age,x")
    assert "in another group" in fails(capsys, *begin, "group_lasso", "--group", "age,d", "--group", "d")
    data = datasets.with_tasks(bundled("linnerud", "Weight", (), ("Waist", "Pulse")), ["Waist", "Pulse"])
    assert data.responses.shape == (20, 3) and data.features == ("Chins", "Situps", "Jumps")
    recipe, _ = features.learn_recipe(data.X, data.features, 2)
    labels = models.groups_of(recipe, ["Chins,Situps"])
    together = {term for term, label in zip(recipe.terms, labels, strict=True) if label == labels[0]}
    assert together == {"Chins", "Situps", "Chins^2", "Situps^2", "Chins*Situps"}
    stored = {"features": recipe.to_json(), "model": "multitask_lasso", "intercept": [1.0, 2.0, 3.0]}
    stored["coefficients"] = np.ones((3, len(recipe.terms))).tolist()
    np.testing.assert_allclose(np.ptp(document.predictions(stored, data.X) - [1.0, 2.0, 3.0], axis=1), 0, atol=1e-12)


def test_the_bars_of_several_targets_have_a_legend():
    coefs = np.array([[1.0, -2.0], [0.5, 3.0]])
    steps = [Step(np.zeros(1), value, 0.0, solves, 0.1) for value, solves in ((2.0, 5), (1.0, 10))]
    end = Stationarity(np.zeros((1, 1)), 0.0, "stationary, smooth")
    search = TuneResult(np.zeros(1), 1.0, Outcome.stationary_smooth, end, steps, 10, 0.2)
    fit = Fit(search, 0.1, np.linalg.norm(coefs, axis=0), 0.0, None, 0.0, tasks=Tasks(coefs, np.zeros(2)))
    drawn = picture.draw_search("x.svg", "linnerud", ("Chins", "Jumps"), ("Weight", "Waist"), fit).decode()
    assert "<!-- Weight -->" in drawn and "<!-- Waist -->" in drawn and "<!-- target -->" in drawn
