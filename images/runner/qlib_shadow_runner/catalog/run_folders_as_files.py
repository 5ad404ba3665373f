"""The run folders as a file system for Arrow, which opens every file as `untrusted` does and writes none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pyarrow as pa
from pyarrow.fs import FileSystemHandler, PyFileSystem

from qlib_shadow_runner.storage.untrusted import TABLE, open_file

if TYPE_CHECKING:
    from pathlib import Path


def run_folders_as_files(root: Path) -> PyFileSystem:
    """Return the file system, in which a file's path is its name below the folder of all run folders."""
    return PyFileSystem(_RunFolders(root))


class _RunFolders(FileSystemHandler):  # type: ignore[misc]
    """Opens files when Arrow reads them, so that thousands of runs need no descriptor each."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _RunFolders) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def get_type_name(self) -> str:
        """Return a name for error messages."""
        return "run-folders"

    def normalize_path(self, path: str) -> str:
        """Return the path as it is."""
        return path

    def open_input_file(self, path: str) -> pa.NativeFile:
        """Return the file, opened again by its descriptor, so that Arrow closes it."""
        with open_file(self.root, path, TABLE) as stream:
            return pa.OSFile(f"/proc/self/fd/{stream.fileno()}", "r")

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise PermissionError("the run folders are only read, file by file")

    open_input_stream = open_input_file
    open_output_stream = open_append_stream = create_dir = copy_file = move = _refuse
    delete_dir = delete_dir_contents = delete_file = delete_root_dir_contents = _refuse
    get_file_info = get_file_info_selector = _refuse
