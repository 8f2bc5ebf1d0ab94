-- works with: 1
-- Which process does what only one may do, until when; the epoch is a higher one whenever it is another process.

CREATE TABLE leaders (
    task text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    epoch bigint NOT NULL,
    until_us bigint NOT NULL
) WITH (fillfactor = 50);
