"""The tables in a run folder: Parquet files, and a JSON file of what could not be read.

Equal tables have equal bytes, because nothing of the run is in them. RUN_METADATA.json lists their hashes
among the run's outputs; a file with another hash is not read.
"""

from __future__ import annotations

import hashlib
import io
import json
from functools import partial
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from qlib_shadow_runner.contract import TABLES
from qlib_shadow_runner.storage.untrusted import GIB, TABLE, fault_of, read_file
from qlib_shadow_runner.storage.untrusted_tables import TableLimits, decode_table
from qlib_shadow_runner.tables.layout import COLUMNS, Tables, check_rows, schema_of
from qlib_shadow_runner.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

FAULTS_FILE: Final = f"{TABLES}/faults.json"
FILES: Final[Mapping[str, str]] = {f"{TABLES}/{name}.parquet": name for name in COLUMNS}
"""The file of each table."""
LIMITS: Final = TableLimits(rows=50_000_000, size=4 * GIB)
"""10,000 instruments on each day of 20 years."""
NONE: Final = "are not there: the run is older than its tables, or it ended before it wrote them"


def encode(tables: Tables) -> dict[str, bytes]:
    """Return the content of every file, by its name in the run folder."""
    found = {file: _parquet(tables.found[name]) for file, name in FILES.items() if name in tables.found}
    text = json.dumps({"schema": 1, "faults": dict(tables.faults)}, indent=2, sort_keys=True)
    return {**found, FAULTS_FILE: text.encode() + b"\n"}


def read_tables(folder: Path, metadata: Mapping[str, object]) -> Tables:
    """Return the tables of a run folder; a file that is not what the run wrote is a fault."""
    outputs = metadata.get("outputs")
    hashes = outputs if isinstance(outputs, dict) else {}
    if FAULTS_FILE not in hashes:
        return Tables({}, {TABLES: NONE})
    found: dict[str, pa.Table] = {}
    faults: dict[str, str] = {}
    for file in (*FILES, FAULTS_FILE):
        if file not in hashes:
            continue
        try:
            content = _unchanged(folder, file, hashes[file])
            if file == FAULTS_FILE:
                faults |= _faults(content)
            else:
                found[FILES[file]] = _table(FILES[file], content)
        except FileNotFoundError:
            faults[file] = "is not there"
        except OSError as error:
            faults[file] = fault_of(error)
        except (ValueError, TypeError, RecursionError) as error:
            faults[file] = one_line(error)
    return Tables(found, faults)


def first_difference(tables: Tables, others: Tables) -> str | None:
    """Return the name of the first table that is not the same in both; a value that is missing is equal."""
    for name in COLUMNS:
        one, other = tables.found.get(name), others.found.get(name)
        if (one is None) != (other is None) or (one is not None and not one.equals(other)):
            return name
    return None


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _unchanged(folder: Path, file: str, digest: object) -> bytes:
    content = read_file(folder, file, TABLE)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("is not what was written: its sha256 differs")
    return content


def _faults(content: bytes) -> dict[str, str]:
    try:
        faults = dict(json.loads(content)["faults"])
    except (ValueError, TypeError, LookupError, RecursionError):
        raise ValueError("does not say what could not be read") from None
    return {one_line(file): one_line(fault) for file, fault in faults.items()}


def _table(name: str, content: bytes) -> pa.Table:
    table = decode_table(content, partial(schema_of, name), LIMITS)
    check_rows(name, table)
    return table.replace_schema_metadata(None)  # what pandas would do as it says
