"""Tables from pickles hold what pandas and Qlib had in their objects, of any version that wrote them."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pytest
from pandas.core.internals.managers import BlockManager  # type: ignore[import-not-found]
from tests.unit.runner.pickles.recorded import tables_of
from tests.unit.runner.report.recorded_runs import dumped, foreign

from qlib_shadow_runner.pickles.files import RECORDED_IN

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES: Final = ["S1", "Ä2", "", "s-3"]


def by_day_and_instrument(unit: str = "ns", names: Any = None) -> pd.MultiIndex:
    """Return an index with days and names that are not used, as slices of Qlib's leave it."""
    days = pd.bdate_range("2024-01-01", periods=5, name="datetime").as_unit(unit)  # type: ignore[arg-type]
    levels = pd.Index(NAMES if names is None else names, name="instrument")
    return pd.MultiIndex.from_product([days, levels]).drop(days[2], level=0)


def scores(dtype: str = "float64", **index: Any) -> pd.DataFrame:
    """Return predictions with values that are none, not finite, and negative zero."""
    rows = by_day_and_instrument(**index)
    values = np.random.default_rng(7).normal(size=len(rows))
    values[:4] = [np.nan, np.inf, -np.inf, -0.0]
    if dtype.startswith(("int", "uint", "bool")):
        values = np.abs(np.nan_to_num(values, posinf=9, neginf=0)) * 10
    return pd.DataFrame({"score": values.astype(dtype)}, index=rows)


def several_columns(order: str) -> pd.DataFrame:
    """Return predictions whose first column lies in a block with others."""
    values = np.random.default_rng(8).normal(size=(16, 3))
    table = pd.DataFrame(np.array(values, order=order), index=by_day_and_instrument(), columns=list("abc"))  # type: ignore[call-overload]
    assert len(table._mgr.blocks) == 1
    return table


class _AsBefore(pickle.Pickler):
    """Writes the blocks of a table as pandas did before version 1.3."""

    def reducer_override(self, value: object) -> Any:
        """Return how blocks were made; everything else is made as usual."""
        if not isinstance(value, BlockManager):
            return NotImplemented
        blocks = [{"values": block.values, "mgr_locs": block.mgr_locs.indexer} for block in value.blocks]  # noqa: PD011 - a block
        more = {"0.14.1": {"axes": value.axes, "blocks": blocks}}
        return object.__new__, (BlockManager,), ([], [], [], more)


def as_before(table: object) -> bytes:
    """Return a pickle with the blocks of old."""
    stream = io.BytesIO()
    _AsBefore(stream, protocol=4).dump(table)
    return stream.getvalue()


def renamed(*pairs: tuple[bytes, bytes]) -> Callable[[object], bytes]:
    """Return what pickles with the names of an older version, of which lines can have any length."""

    def dump(table: object) -> bytes:
        content = pickle.dumps(table, protocol=2)
        for now, before in pairs:
            content = content.replace(now, before)
        return content

    return dump


OLD_NUMPY = (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
OLD_FRAME = (b"cpandas\nDataFrame\n", b"cpandas.core.frame\nDataFrame\n")
OLD_MULTI = (b"cpandas\nMultiIndex\n", b"cpandas.core.indexes.multi\nMultiIndex\n")
OLD_TEXTS = (b"cpandas.arrays\nArrowStringArray\n", b"cpandas.core.arrays.string_arrow\nArrowStringArray\n")
FORMS: dict[str, Callable[[object], bytes]] = {
    **{f"protocol {n}": lambda table, n=n: pickle.dumps(table, protocol=n) for n in range(2, 6)},  # type: ignore[misc]
    "blocks as before 1.3": as_before,
    "names as before": renamed(OLD_NUMPY, OLD_FRAME, OLD_MULTI, OLD_TEXTS),
}
TABLES: dict[str, pd.DataFrame | pd.Series] = {
    "doubles": scores(),
    **{dtype: scores(dtype) for dtype in ("float32", "int64", "int32", "int16", "int8", "uint8", "bool")},
    **{f"days in {unit}": scores(unit=unit) for unit in ("s", "ms", "us", "ns")},
    "names as objects": scores(names=pd.Index(NAMES, dtype=object)),
    "names of Python": scores(names=pd.array(NAMES, dtype=pd.StringDtype("python"))),
    "names in chunks": scores(names=pd.concat([pd.Series(NAMES[:2]), pd.Series(NAMES[2:])])),
    "columns side by side": several_columns("C"),
    "columns one by one": several_columns("F"),
    "a series": scores()["score"],
    "a slice": scores().iloc[3:9:2],
    "no rows": scores().iloc[:0],
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_predictions_are_those_that_were_pickled(table: pd.DataFrame | pd.Series):
    """Each day, each name, and each value to its last bit, in every form of a pickle."""
    wanted = table.to_frame() if isinstance(table, pd.Series) else table
    for form, dump in FORMS.items():
        found = tables_of(predictions=dump(table))
        assert found.faults == {}, form
        got = found.found["predictions"].to_pandas(date_as_object=False)
        assert got["date"].tolist() == wanted.index.get_level_values(0).tolist(), form
        assert got["instrument"].tolist() == wanted.index.get_level_values(1).tolist(), form
        expected = wanted.iloc[:, 0].astype("float64").to_numpy()
        np.testing.assert_array_equal(got["score"], expected, err_msg=form)
        assert np.array_equal(np.signbit(got["score"]), np.signbit(expected)), form


def test_account_is_the_one_that_was_pickled():
    """With columns of several types, whatever their blocks."""
    days = pd.bdate_range("2024-01-01", periods=6, name="datetime")
    account = pd.DataFrame(
        {"account": np.arange(6) * 1e8, "return": np.linspace(-0.1, 0.1, 6), "days": np.arange(6)}, index=days
    )
    account["bench"] = pd.Series([0.1, None, np.float64(0.2), 3, None, 0.5], index=days, dtype=object)
    account.loc[days[3], "return"] = np.nan
    for form, dump in FORMS.items():
        found = tables_of(account=dump(account))
        assert found.faults == {}, form
        got = found.found["account"].to_pandas(date_as_object=False).set_index("date")
        pd.testing.assert_frame_equal(
            got, account.astype("float64"), check_index_type=False, check_freq=False, check_names=False
        )


def test_correlation_is_the_one_that_was_pickled():
    """A series by day, with and without a frequency."""
    days = pd.bdate_range("2024-01-01", periods=6)
    for series in (pd.Series(np.arange(6.0), index=days), pd.Series([np.nan, 1.0], index=days[[1, 4]])):
        for form, dump in FORMS.items():
            found = tables_of(ic=dump(series)).found["ic"].to_pandas(date_as_object=False)
            assert found["date"].tolist() == series.index.tolist(), form
            np.testing.assert_array_equal(found["ic"], series.to_numpy(), err_msg=form)


WRONG: dict[str, tuple[str, object, str]] = {
    "text": ("predictions", "x", "it holds no table, but a text"),
    "rows that are counted": ("predictions", pd.DataFrame({"score": [1.0]}), "its rows are not days and"),
    "rows of days alone": ("predictions", scores()["score"].xs("S1", level=1), "its rows are not days and"),
    "rows of texts": ("ic", pd.Series([1.0], index=["a"]), "its rows are not days"),
    "days with a time": (
        "ic",
        pd.Series([1.0], index=pd.DatetimeIndex(["2024-01-01 10:00"])),
        "a row is of a time, not of a day",
    ),
    "days with a zone": (
        "ic",
        pd.Series([1.0], index=pd.DatetimeIndex(["2024-01-01"], tz="UTC")),
        "something made by pandas.DatetimeTZDtype, where dtype was expected",
    ),
    "no day": ("ic", pd.Series([1.0], index=pd.DatetimeIndex([None])), "a row has no day"),
    "a day before all prices": (
        "ic",
        pd.Series([1.0], index=pd.DatetimeIndex(["1960-01-01"])),
        "before 1970",
    ),
    "a row without a name": (
        "predictions",
        pd.Series(
            [1.0, 2.0], index=pd.MultiIndex.from_arrays([pd.DatetimeIndex(["2024-01-01"] * 2), ["a", None]])
        ),
        "a row has no day or no name",
    ),
    "values that are texts": ("labels", scores().astype(str), "it holds something made by pandas.arrays"),
    "values that are complex": ("labels", scores() * 1j, "an array is of the type <c16, which no table has"),
    "values of the other end": ("labels", scores(">f8"), "an array is of the type >f8, which no table has"),
    "an account of texts": (
        "account",
        pd.DataFrame({"a": ["x"]}, index=pd.bdate_range("2024-01-01", periods=1)),
        "some",
    ),
    "an account with a second date": (
        "account",
        pd.DataFrame({"date": [1.0]}, index=pd.bdate_range("2024-01-01", periods=1)),
        "the columns of the table account are not those that it has",
    ),
    "positions that are a list": ("positions", [1], "it holds no positions by day, but a list"),
    "positions by number": (
        "positions",
        {1: 2},
        "it holds a whole number, where _unpickle_timestamp was expected",
    ),
    "risk without figures": ("risk", pd.DataFrame({"risk": [1.0]}), "its rows are not groups and figures"),
}


@pytest.mark.parametrize(("name", "value", "says"), WRONG.values(), ids=WRONG)
def test_what_is_no_table_is_a_sentence(name: str, value: object, says: str):
    """Nothing is guessed, and the file is named."""
    found = tables_of(**{name: pickle.dumps(value)})
    assert found.found == {}
    [(file, fault)] = found.faults.items()
    assert file == RECORDED_IN[name]
    assert fault.startswith("cannot be read (")
    assert says in fault


def gains_of(text: str, names: list[str]) -> dict[str, float]:
    """Return the gains of a model of this text, trained on features of these names."""
    booster = foreign("lightgbm.basic.Booster", _handle=text)
    model = foreign("qlib.contrib.model.gbdt.LGBModel", model=booster)
    loader = foreign("qlib.data.dataset.loader.QlibDataLoader", fields={"feature": (names, names)})
    handler = foreign("qlib.contrib.data.handler.Alpha158", data_loader=loader)
    dataset = foreign("qlib.data.dataset.DatasetH", handler=handler)
    found = tables_of(
        gains=dumped(model, model, booster), names=dumped(dataset, dataset, handler, loader)
    ).found.get("gains")
    return {} if found is None else dict(zip(*(column.to_pylist() for column in found), strict=True))


def test_gains_are_those_of_the_model():
    """With the names of the dataset, where it has as many."""
    trees = (
        "feature_names=Column_0 Column_1\n\n"
        "split_feature=0 1 0\nsplit_gain=1 2.5 0.25\n\nsplit_feature=1\nsplit_gain=4\n"
    )
    assert gains_of(trees, ["a", "b"]) == {"a": 1.25, "b": 6.5}
    assert gains_of(trees, ["a"]) == {"Column_0": 1.25, "Column_1": 6.5}
    assert gains_of("feature_names=x y\n", ["a", "b"]) == {"x": 0.0, "y": 0.0}
    for wrong in (
        "split_feature=2\nsplit_gain=1\n",
        "split_feature=-1\nsplit_gain=1\n",
        "split_feature=0\nsplit_gain=nan\n",
    ):
        assert gains_of(f"feature_names=x y\n\n{wrong}", []) == {}
