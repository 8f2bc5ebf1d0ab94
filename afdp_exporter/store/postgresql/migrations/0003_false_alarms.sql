-- works with: 1
-- What replays of innocent times found, so that one process replays for all that share this.

CREATE TABLE false_alarms (
    metric text COLLATE "C" PRIMARY KEY,
    blamed bigint NOT NULL,
    judged bigint NOT NULL
);
