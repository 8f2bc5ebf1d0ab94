"""All ports of a store over a database."""

import asyncio
from collections.abc import Callable

from afdp_exporter.store.fencing import Fence
from afdp_exporter.store.sql.adapters import (
    FencedWriter,
    SQLAnnotations,
    SQLChanges,
    SQLCursors,
    SQLDeployments,
    SQLEvents,
    SQLHistory,
    SQLJobs,
    SQLLooks,
    SQLNotices,
    SQLResults,
)
from afdp_exporter.store.sql.automation import SQLActions, SQLApprovals, SQLDecisions, SQLLevels, SQLRollouts
from afdp_exporter.store.sql.connection import Reading, Writing
from afdp_exporter.store.sql.recent import RecentChanges


class SQLPorts:
    """Each port, over one way to write and one to read; `written` gives the event that announces the next change.

    With `poll` seconds it is looked for changes anyway, since an event may be missed. What `recent` gives need not be
    read, where nobody else writes. What is written in the course of
    a job is fenced; what ends a job compares its token itself.
    """

    def __init__(
        self,
        writer: Writing,
        readers: Reading,
        written: Callable[[], asyncio.Event],
        *,
        poll: float | None = None,
        recent: Callable[[], RecentChanges | None] = lambda: None,
    ) -> None:
        self.fence = Fence()
        fenced = FencedWriter(writer, self.fence)
        self.deployments = SQLDeployments(fenced, readers)
        self.history = SQLHistory(fenced, readers)
        self.results = SQLResults(fenced, readers)
        self.changes = SQLChanges(fenced, readers, written, poll, recent)
        self.jobs = SQLJobs(writer, readers, self.fence)
        self.looks = SQLLooks(writer, readers)
        self.notices = SQLNotices(writer, readers)
        self.annotations = SQLAnnotations(fenced, readers)
        self.events = SQLEvents(fenced, readers)
        self.cursors = SQLCursors(fenced, readers)
        self.decisions = SQLDecisions(fenced, readers)
        self.levels = SQLLevels(fenced, readers)
        self.rollouts = SQLRollouts(fenced, readers)
        self.approvals = SQLApprovals(fenced, readers)
        self.actions = SQLActions(fenced, readers)
