"""kopf stores nothing on the objects that it watches."""

from __future__ import annotations

from typing import Any, cast

import kopf
from tests.unit.operator.documents import a_job_document

from qlib_shadow_operator.handlers import kopf_settings


def test_kopf_writes_nothing():
    """By default it writes annotations: the last-handled state and the handlers' progress."""
    stores, patch = kopf_settings().persistence, kopf.Patch()
    body = kopf.Body(cast("Any", a_job_document()))
    essence = stores.diffbase_storage.build(body=body)
    stores.diffbase_storage.store(body=body, patch=patch, essence=essence)
    stores.progress_storage.touch(body=body, patch=patch, value="now")
    assert not patch


def test_kopf_sees_no_difference():
    """So it compares nothing."""
    stores = kopf_settings().persistence
    one, other = (kopf.Body(cast("Any", a_job_document(version, succeeded=version))) for version in (1, 2))
    essences = [stores.diffbase_storage.build(body=body) for body in (one, other)]
    assert essences[0] == essences[1]
    assert stores.diffbase_storage.fetch(body=one) is None
