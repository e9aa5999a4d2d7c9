from __future__ import annotations

from modelcenter.registry import activity, repositories
from modelcenter.registry.access import ANONYMOUS
from modelcenter.registry.tables import DownloadCount
from tests.support.registry import person


def test_downloads_are_counted_by_repository_and_day(hub):
    ann = person(hub, "ann")
    ids = [repositories.create(hub, ann, f"ann/{name}").id for name in "ab"]
    with hub.database.transaction() as session:
        activity.count_downloads(session, {ids[0]: 3, ids[1]: 1, 12345: 7})
        activity.count_downloads(session, {ids[0]: 2})
    with hub.database.session() as session:
        assert repositories.get(session, ANONYMOUS, "ann/a").downloads == 5
        assert repositories.get(session, ANONYMOUS, "ann/b").downloads == 1
        counts = {row.repository_id: row.count for row in session.query(DownloadCount)}
        assert counts == {ids[0]: 5, ids[1]: 1}
