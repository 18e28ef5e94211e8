import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.data.manifest import (
    MANIFEST,
    read_manifest,
    read_origin,
    read_truth,
    write_manifest,
    write_truth,
)
from lungal.data.tables import read_table, write_table
from lungal.errors import StageOrderError
from lungal.records import LabelledBox


def films() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["00000002_000", "00000001_001", "00000001_000"],
            "patient_id": ["00000002", "00000001", "00000001"],
            "path": ["images/c.png", "images/b.png", "images/a.png"],
            "sha256": ["c" * 64, "b" * 64, "a" * 64],
            "width": 1024,
            "height": 1024,
            "view": ["PA", None, "AP"],
            "sex": ["M", "F", None],
            "age": [57, None, 3],
            "findings": [("Mass", "Hernia"), None, ()],
            "source": "nih",
            "official_split": ["test", None, "train_val"],
        }
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_manifest_comes_back_sorted_and_with_its_gaps(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", films())
    back = read_manifest(tmp_path / "manifest.parquet")
    assert list(back.columns) == MANIFEST.names
    assert list(back.image_id) == ["00000001_000", "00000001_001", "00000002_000"]
    assert list(back.findings) == [[], None, ["Mass", "Hernia"]]
    assert list(back.age.fillna(-1)) == [3, -1, 57]
    assert list(back.view.isna()) == [False, True, False]
    assert back.width.dtype == np.int32


def test_no_finding_and_not_known_stay_apart(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", films())
    stored = pq.read_table(tmp_path / "manifest.parquet").column("findings").to_pylist()
    assert stored == [[], None, ["Mass", "Hernia"]]


def test_rows_in_another_order_or_index_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_manifest(first, films())
    write_manifest(second, films().iloc[[1, 2, 0]].reset_index(drop=True).assign(extra=1))
    assert digest(first) == digest(second)


def test_a_written_manifest_can_be_written_again_byte_for_byte(tmp_path: Path) -> None:
    first, second = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_manifest(first, films())
    write_manifest(second, read_manifest(first))
    assert digest(first) == digest(second)


def test_what_films_were_drawn_from_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    write_manifest(path, films(), drawn_from="seed 4")
    assert read_origin(path) == "seed 4"
    assert list(read_manifest(path).columns) == MANIFEST.names
    write_manifest(path, films())
    assert read_origin(path) is None
    with pytest.raises(StageOrderError, match="ingest"):
        read_origin(tmp_path / "none.parquet")


def test_other_rows_give_other_bytes(tmp_path: Path) -> None:
    write_manifest(tmp_path / "one.parquet", films())
    write_manifest(tmp_path / "two.parquet", films().assign(sex="F"))
    assert digest(tmp_path / "one.parquet") != digest(tmp_path / "two.parquet")


def test_table_keeps_its_schema_and_no_other_metadata(tmp_path: Path) -> None:
    schema = pa.schema([("name", pa.string()), ("boxes", pa.list_(pa.float32()))])
    frame = pd.DataFrame({"name": ["b", "a"], "boxes": [[1.0], []]})
    write_table(tmp_path / "table.parquet", frame, schema)
    stored = pq.read_schema(tmp_path / "table.parquet")
    assert stored.equals(schema)
    assert stored.metadata is None


def test_a_value_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowInvalid):
        write_manifest(tmp_path / "manifest.parquet", films().assign(width=0.5))
    assert not list(tmp_path.iterdir())


def test_missing_and_damaged_tables_name_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="`ingest` makes it"):
        read_manifest(tmp_path / "manifest.parquet")
    with pytest.raises(StageOrderError, match="`ingest` makes it"):
        read_truth(tmp_path / "truth.jsonl")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(StageOrderError, match=r"damaged.*`split`"):
        read_table(tmp_path / "manifest.parquet", "split")


def test_a_table_that_is_damaged_inside_names_its_stage_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    write_table(path, pd.DataFrame({"film": ["a"] * 99}), pa.schema([("film", pa.string())]))
    whole = path.read_bytes()
    path.write_bytes(whole[:8] + b"damaged!" + whole[16:])
    with pytest.raises(StageOrderError, match=r"^.* is damaged \(.*dvc repro -f split$"):
        read_table(path, "split")


@pytest.mark.parametrize(
    "line", [b'{"image_id"', b"[]", b'{"boxes": []}', b'{"image_id": "a", "boxes": [{}]}', b"\xff"]
)
def test_a_damaged_truth_names_its_stage_in_one_line(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    write_truth(path, {"00000001_000": ()})
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(StageOrderError, match=r"^.* is damaged \(.*dvc repro -f ingest$"):
        read_truth(path)


numbers = st.floats(0, 1024, width=32)
boxes = st.builds(LabelledBox, st.sampled_from(["Mass", "Nodule"]), *[numbers] * 4)


@given(
    truth=st.dictionaries(
        st.from_regex(r"\d{8}_\d{3}", fullmatch=True), st.lists(boxes, max_size=3).map(tuple)
    )
)
def test_truth_comes_back_exactly_and_in_order(
    truth: dict[str, tuple[LabelledBox, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    write_truth(path, truth)
    back = read_truth(path)
    assert back == truth
    assert list(back) == sorted(truth)
