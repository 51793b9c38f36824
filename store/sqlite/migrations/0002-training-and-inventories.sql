-- What came of trainings, and what messages bring along. Both go with their message.

CREATE TABLE training_lines (
  id INTEGER PRIMARY KEY,
  job_key TEXT NOT NULL,
  message_id INTEGER NOT NULL,
  entry_id INTEGER, -- null for an appended message
  at INTEGER NOT NULL,
  account TEXT NOT NULL,
  trainer TEXT NOT NULL,
  class TEXT NOT NULL,
  outcome TEXT NOT NULL,
  said TEXT NOT NULL,
  user_ TEXT -- whose database; null for everybody's
);
CREATE INDEX training_lines_by_message ON training_lines (message_id);
-- Lists, newest first, by one or the other or both; counts, by the last one alone.
CREATE INDEX training_lines_by_trainer ON training_lines (trainer);
CREATE INDEX training_lines_by_outcome ON training_lines (outcome);
CREATE INDEX training_lines_by_both ON training_lines (trainer, outcome, id, class);

CREATE TABLE inventories (message_id INTEGER PRIMARY KEY, inventory TEXT NOT NULL); -- JSON

-- Messages whose inventory was not made yet: an arrival appends to a small table, and no index of messages is needed.
CREATE TABLE uninventoried (message_id INTEGER PRIMARY KEY);
INSERT INTO uninventoried SELECT id FROM messages;

ALTER TABLE entries ADD COLUMN expires_at INTEGER; -- in Training Requested: it ends then, if it is still held
CREATE INDEX entries_to_expire ON entries (expires_at) WHERE expires_at IS NOT NULL AND state = 'held';
