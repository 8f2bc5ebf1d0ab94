"""The tables, as a list of migrations: each is applied once, in a transaction of its own, and never changed afterwards.

Times are whole microseconds since 1970 in UTC and durations whole microseconds, so that both come back exactly.
`ready_us` is when a job may be taken: its time, its retry, or the end of the lease of who holds it.
"""

from typing import TYPE_CHECKING

from afdp_exporter.store.sql.deployments import LONG_ROLLOUT_US
from afdp_exporter.store.sqlite.steps import Steps

if TYPE_CHECKING:
    from sqlite_utils import Database

steps = Steps("afdp_exporter")


def _run(db: "Database", *statements: str) -> None:
    for statement in statements:
        db.execute(statement)


@steps
def create_deployments(db: "Database") -> None:
    """What was announced to us."""
    _run(
        db,
        """
        CREATE TABLE deployments (
            id TEXT PRIMARY KEY,
            service TEXT NOT NULL,
            environment TEXT NOT NULL,
            started_us INTEGER NOT NULL,
            finished_us INTEGER,
            ended_us INTEGER NOT NULL GENERATED ALWAYS AS (coalesce(finished_us, started_us)) STORED,
            status TEXT NOT NULL,
            version TEXT,
            previous_version TEXT,
            actor TEXT,
            team TEXT,
            change_types TEXT NOT NULL,
            strategy TEXT,
            traffic_ratio REAL,
            url TEXT,
            "commit" TEXT,
            description TEXT,
            traits TEXT NOT NULL,
            labels TEXT NOT NULL,
            labelled_outcome TEXT,
            note TEXT,
            received_us INTEGER NOT NULL,
            received_from TEXT NOT NULL,
            measured INTEGER NOT NULL DEFAULT 0
        ) STRICT
        """,
        "CREATE INDEX deployments_newest ON deployments (started_us, id)",
        "CREATE INDEX deployments_newest_of_service ON deployments (service, started_us, id)",
        "CREATE INDEX deployments_newest_of_environment ON deployments (environment, started_us, id)",
        "CREATE INDEX deployments_newest_of_both ON deployments (service, environment, started_us, id)",
        f"""
        CREATE INDEX deployments_long ON deployments (ended_us)
        WHERE ended_us - started_us > {LONG_ROLLOUT_US}
        """,
        "CREATE INDEX deployments_measured ON deployments (ended_us, id) WHERE measured = 1",
        "CREATE INDEX deployments_measured_of_service ON deployments (service, ended_us, id) WHERE measured = 1",
        """
        CREATE TABLE idempotency_keys (
            key TEXT PRIMARY KEY,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            received_us INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    )


@steps
def create_looks(db: "Database") -> None:
    """What is to be done, and what became of it."""
    _run(
        db,
        """
        CREATE TABLE looks (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            after_us INTEGER NOT NULL,
            due_us INTEGER NOT NULL,
            ready_us INTEGER,
            state TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            done_us INTEGER,
            reason TEXT,
            outcome TEXT,
            account TEXT NOT NULL,
            PRIMARY KEY (deployment_id, after_us)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX looks_ready ON looks (ready_us, state) WHERE ready_us IS NOT NULL",
        "CREATE INDEX looks_taken ON looks (due_us) WHERE state IN ('waiting', 'running')",
    )


@steps
def create_impacts(db: "Database") -> None:
    """What was found: the newest impact of each deployment."""
    _run(
        db,
        """
        CREATE TABLE impacts (
            deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
            measured_us INTEGER NOT NULL,
            outcome TEXT NOT NULL,
            document TEXT NOT NULL
        ) STRICT
        """,
    )


@steps
def create_predictions(db: "Database") -> None:
    """What was expected of each deployment before anything of it was measured."""
    _run(
        db,
        """
        CREATE TABLE predictions (
            deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
            document TEXT NOT NULL
        ) STRICT
        """,
    )


_TELL = """
INSERT INTO notices (receiver, deployment_id, ready_us)
SELECT receivers.name, deployments.id, 0 FROM receivers JOIN deployments ON deployments.id = {id}
WHERE deployments.received_us - deployments.started_us < 86400000000
ON CONFLICT DO UPDATE SET version = version + 1, ready_us = 0, attempts = 0;
"""


@steps
def create_notices(db: "Database") -> None:
    """Which receiver hears of what; triggers see to it that no change of a deployment can be kept without a notice.

    What was more than a day past when it came in is history, of which nobody hears.
    """
    _run(
        db,
        "CREATE TABLE receivers (name TEXT PRIMARY KEY) STRICT",
        """
        CREATE TABLE notices (
            receiver TEXT NOT NULL REFERENCES receivers (name) ON DELETE CASCADE,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            version INTEGER NOT NULL DEFAULT 1,
            ready_us INTEGER,
            attempts INTEGER NOT NULL DEFAULT 0,
            reason TEXT,
            sent TEXT,
            PRIMARY KEY (receiver, deployment_id)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX notices_ready ON notices (ready_us, receiver) WHERE ready_us IS NOT NULL",
        f"CREATE TRIGGER tell_of_new AFTER INSERT ON deployments BEGIN {_TELL.format(id='NEW.id')} END",
        f"CREATE TRIGGER tell_of_change AFTER UPDATE ON deployments BEGIN {_TELL.format(id='NEW.id')} END",
        f"CREATE TRIGGER tell_of_impact AFTER INSERT ON impacts BEGIN {_TELL.format(id='NEW.deployment_id')} END",
        f"CREATE TRIGGER tell_of_news AFTER UPDATE ON impacts BEGIN {_TELL.format(id='NEW.deployment_id')} END",
    )


@steps
def create_courses(db: "Database") -> None:
    """What each metric did around a deployment: compressed, since thousands of them are kept and few are looked at."""
    _run(
        db,
        """
        CREATE TABLE courses (
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            metric TEXT NOT NULL,
            document BLOB NOT NULL,
            PRIMARY KEY (deployment_id, metric)
        ) STRICT
        """,
    )


@steps
def find_by_outcome(db: "Database") -> None:
    """The measured outcome beside the deployment, so that a page of one outcome is found by an index."""
    _run(
        db,
        "ALTER TABLE deployments ADD COLUMN outcome TEXT NOT NULL DEFAULT 'unknown'",
        """
        UPDATE deployments SET outcome = impacts.outcome FROM impacts WHERE impacts.deployment_id = deployments.id
        """,
        "CREATE INDEX deployments_newest_of_outcome ON deployments (outcome, started_us, id)",
    )


@steps
def create_announcements(db: "Database") -> None:
    """What other programs reported, event by event; the life of a deployment is put together from all of its own."""
    _run(
        db,
        """
        CREATE TABLE announcements (
            deployment_id TEXT NOT NULL,
            event TEXT NOT NULL,
            at_us INTEGER NOT NULL,
            document TEXT NOT NULL,
            received_us INTEGER NOT NULL,
            PRIMARY KEY (deployment_id, event)
        ) STRICT, WITHOUT ROWID
        """,
    )


@steps
def create_annotations(db: "Database") -> None:
    """What was sent in the form of Grafana's annotations; an id is never given twice."""
    _run(
        db,
        """
        CREATE TABLE annotations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_us INTEGER NOT NULL,
            until_us INTEGER,
            text TEXT NOT NULL,
            tags TEXT NOT NULL,
            dashboard_uid TEXT,
            panel_id INTEGER,
            deployment_id TEXT REFERENCES deployments (id) ON DELETE SET NULL,
            created_us INTEGER NOT NULL,
            updated_us INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX annotations_newest ON annotations (at_us, id)",
    )


@steps
def create_events(db: "Database") -> None:
    """What was reported that is no deployment: sales, incidents, freezes."""
    _run(
        db,
        """
        CREATE TABLE events (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            started_us INTEGER NOT NULL,
            ended_us INTEGER,
            services TEXT NOT NULL,
            description TEXT,
            url TEXT,
            told_us INTEGER NOT NULL,
            received_from TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX events_newest ON events (started_us, id)",
    )


@steps
def create_cursors(db: "Database") -> None:
    """Up to where each feed was read."""
    _run(db, "CREATE TABLE cursors (feed TEXT PRIMARY KEY, cursor TEXT NOT NULL) STRICT, WITHOUT ROWID")


@steps
def create_changes(db: "Database") -> None:
    """What commits changed, for the deployments that bring them."""
    _run(
        db,
        """
        CREATE TABLE changes (
            "commit" TEXT PRIMARY KEY,
            traits TEXT NOT NULL,
            change_types TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        'CREATE INDEX deployments_of_commit ON deployments ("commit") WHERE "commit" IS NOT NULL',
    )


@steps
def find_by_what_became_of_it(db: "Database") -> None:
    """The outcome beside the deployment is what a human or its sender states, else what was measured."""
    _run(
        db,
        """
        UPDATE deployments SET outcome = coalesce(labelled_outcome, 'failure')
        WHERE labelled_outcome IS NOT NULL OR status IN ('failed', 'rolled_back')
        """,
    )


@steps
def create_gate(db: "Database") -> None:
    """What the gate answered, and what people allow it to do."""
    _run(
        db,
        """
        CREATE TABLE decisions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            service TEXT NOT NULL,
            environment TEXT NOT NULL,
            version TEXT,
            deployment_id TEXT,
            phase TEXT NOT NULL,
            verdict TEXT NOT NULL,
            enforced_verdict TEXT NOT NULL,
            decided_us INTEGER NOT NULL,
            caller TEXT NOT NULL,
            document TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX decisions_of_service ON decisions (service, environment, decided_us)",
        "CREATE INDEX decisions_of_deployment ON decisions (deployment_id, id) WHERE deployment_id IS NOT NULL",
        """
        CREATE TABLE level_changes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            service TEXT NOT NULL,
            environment TEXT NOT NULL,
            kind TEXT NOT NULL,
            level INTEGER NOT NULL,
            changed_by TEXT NOT NULL,
            reason TEXT NOT NULL,
            at_us INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX level_changes_of_service ON level_changes (service, environment, id)",
    )


@steps
def create_actions(db: "Database") -> None:
    """What canaries showed, and what was done about deployments."""
    _run(
        db,
        """
        CREATE TABLE rollouts (
            deployment_id TEXT PRIMARY KEY REFERENCES deployments (id) ON DELETE CASCADE,
            service TEXT NOT NULL,
            measured_us INTEGER NOT NULL,
            document BLOB NOT NULL
        ) STRICT
        """,
        "CREATE INDEX rollouts_of_service ON rollouts (service, measured_us)",
        """
        CREATE TABLE actions (
            id TEXT PRIMARY KEY,
            deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
            kind TEXT NOT NULL,
            service TEXT NOT NULL,
            environment TEXT NOT NULL,
            state TEXT NOT NULL,
            decided_us INTEGER NOT NULL,
            document TEXT NOT NULL,
            UNIQUE (deployment_id, kind)
        ) STRICT
        """,
        "CREATE INDEX actions_newest ON actions (decided_us, id)",
        "CREATE INDEX actions_open ON actions (state) WHERE state IN "
        "('proposed', 'awaiting_approval', 'claimed', 'started', 'accepted')",
    )


@steps
def create_approvals(db: "Database") -> None:
    """Who waits to hear whether a deployment may go on."""
    _run(
        db,
        """
        CREATE TABLE approvals (
            id TEXT PRIMARY KEY,
            state TEXT NOT NULL,
            asked_us INTEGER NOT NULL,
            document TEXT NOT NULL,
            credential TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX approvals_waiting ON approvals (asked_us) WHERE state = 'waiting'",
    )


_TABLES_OF_JOBS = (
    "DROP TRIGGER tell_of_new",
    "DROP TRIGGER tell_of_change",
    "DROP TRIGGER tell_of_impact",
    "DROP TRIGGER tell_of_news",
    "ALTER TABLE changes RENAME TO commit_changes",
    """
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at_us INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER))
    ) STRICT
    """,
    """
    CREATE TABLE jobs (
        kind TEXT NOT NULL,
        key TEXT NOT NULL,
        lane TEXT NOT NULL,
        due_us INTEGER NOT NULL,
        ready_us INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 1,
        owner TEXT,
        token INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        reason TEXT,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX jobs_ready ON jobs (kind, ready_us)",
    "CREATE INDEX jobs_of_lane ON jobs (kind, lane, ready_us)",
    "CREATE INDEX jobs_held ON jobs (owner, kind, lane) WHERE owner IS NOT NULL",
    "CREATE INDEX jobs_moved ON jobs (kind, due_us) WHERE ready_us <> due_us",
)

_JOBS_OF_EARLIER = (
    """
    INSERT INTO jobs (kind, key, lane, due_us, ready_us, attempts, reason)
    SELECT 'check', looks.deployment_id || '/' || looks.after_us, deployments.service, looks.due_us,
        CASE looks.state WHEN 'running' THEN looks.due_us ELSE looks.ready_us END, looks.attempts, looks.reason
    FROM looks JOIN deployments ON deployments.id = looks.deployment_id WHERE looks.ready_us IS NOT NULL
    """,
    "UPDATE looks SET state = 'due' WHERE state = 'running'",
    "DROP INDEX looks_ready",
    "DROP INDEX looks_taken",
    "ALTER TABLE looks DROP COLUMN ready_us",
    """
    INSERT INTO jobs (kind, key, lane, due_us, ready_us, attempts, reason)
    SELECT 'notice', receiver || '/' || deployment_id, receiver, 0, ready_us, attempts, reason
    FROM notices WHERE ready_us IS NOT NULL
    """,
    """
    CREATE TABLE sent_notices (
        receiver TEXT NOT NULL REFERENCES receivers (name) ON DELETE CASCADE,
        deployment_id TEXT NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
        sent TEXT,
        reason TEXT,
        PRIMARY KEY (receiver, deployment_id)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO sent_notices (receiver, deployment_id, sent, reason)
    SELECT receiver, deployment_id, sent, reason FROM notices WHERE sent IS NOT NULL OR reason IS NOT NULL
    """,
    "DROP TABLE notices",
)


@steps
def create_jobs(db: "Database") -> None:
    """One table of what changed, and one of what is to be done: open looks and notices become jobs of it."""
    _run(db, *_TABLES_OF_JOBS, *_JOBS_OF_EARLIER)


@steps
def create_evaluations(db: "Database") -> None:
    """What is asked of the gate in two steps, so that a restart between them is none."""
    _run(
        db,
        """
        CREATE TABLE evaluations (
            id TEXT PRIMARY KEY,
            begun_us INTEGER NOT NULL,
            document TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX evaluations_oldest ON evaluations (begun_us)",
    )


@steps
def create_false_alarms(db: "Database") -> None:
    """What replays of innocent times found, by metric."""
    _run(
        db,
        """
        CREATE TABLE false_alarms (
            metric TEXT PRIMARY KEY,
            blamed INTEGER NOT NULL,
            judged INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
    )


@steps
def count_earlier_rollouts(db: "Database") -> None:
    """What of a thread has to be read no more is forgotten, and how many deployments that were."""
    _run(db, "ALTER TABLE announcements ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0")
