-- works with: 1
-- What of a thread has to be read no more is forgotten, and how many deployments that were.

ALTER TABLE announcements ADD COLUMN earlier bigint NOT NULL DEFAULT 0;
