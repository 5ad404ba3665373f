"""The chart of the followup."""

from __future__ import annotations

from tests.unit.runner.conftest import weekdays

from qlib_shadow_runner.catalog.track_record import TrackRecord, TrackRecordDay
from qlib_shadow_runner.report.scale import HEIGHT, WIDTH
from qlib_shadow_runner.ui.chart import cumulative_ic


def test_chart_stays_inside_its_area():
    """With grid lines at round numbers, for small and large figures."""
    days = weekdays(40)
    for scale in (1e-5, 0.3, 40.0):
        several = [
            TrackRecordDay(day, day, 1, 0.1, 0.1, 0.1, 0.1, cumulative_ic=scale * (place % 7 - 3))
            for place, day in enumerate(days)
        ]
        chart = cumulative_ic([TrackRecord("d", "prices", 1, several)])
        assert chart is not None
        points = [tuple(map(float, point.split(","))) for point in chart.lines[0].points.split()]
        assert len(points) == 40
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        assert 3 <= len(chart.grid) <= 8
        assert any(label == "0" for _, label in chart.grid)
    assert cumulative_ic([TrackRecord("d", "prices", 1, several[:1])]) is None
