-- Times are milliseconds since 1970. Levels: r(ecipient), d(omain), g(lobal). Scope keys: 'g', 'd:<domain>', 'r:<address>'.

CREATE TABLE counters (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  uid_validity INTEGER NOT NULL,
  last_uid INTEGER NOT NULL,
  last_mod_seq INTEGER NOT NULL,
  last_message_id INTEGER NOT NULL,
  trimmed_mod_seq INTEGER NOT NULL -- changes up to here are no longer in the log
);

CREATE TABLE messages (
  id INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  body_sha256 TEXT NOT NULL,
  header_size INTEGER NOT NULL,
  sender TEXT NOT NULL,
  params TEXT NOT NULL, -- JSON
  filter_block BLOB NOT NULL,
  subject TEXT NOT NULL,
  from_ TEXT NOT NULL,
  received_at INTEGER NOT NULL
);
CREATE INDEX messages_by_hash ON messages (sha256);

-- id = message id * 65536 + chunk number: one range scan reads a message, and no second index is needed.
CREATE TABLE chunks (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);

-- Messages whose chunks are being written, or were and nobody admitted them.
CREATE TABLE uploads (message_id INTEGER PRIMARY KEY, token TEXT NOT NULL UNIQUE, began_at INTEGER NOT NULL);

CREATE TABLE summaries (
  message_id INTEGER PRIMARY KEY REFERENCES messages (id),
  common_fields BLOB NOT NULL,
  envelope BLOB NOT NULL,
  body_structure BLOB NOT NULL,
  body BLOB NOT NULL,
  parts BLOB NOT NULL
);

CREATE TABLE entries (
  id INTEGER PRIMARY KEY, -- the UID of its first stay
  message_id INTEGER NOT NULL REFERENCES messages (id),
  owner TEXT NOT NULL,
  owner_domain TEXT NOT NULL,
  recipient TEXT NOT NULL,
  orcpt TEXT,
  direction TEXT NOT NULL,
  class TEXT NOT NULL,
  place TEXT NOT NULL,
  state TEXT NOT NULL,
  uid INTEGER, --    the open stay in a readable folder, and
  folder TEXT, --    that folder; both null when there is none
  hidden INTEGER NOT NULL DEFAULT 0, -- in Trash, levels that expunged it: 1 r, 2 d, 4 g; belongs to the stay
  prefix TEXT NOT NULL,
  size INTEGER NOT NULL, -- octets of the shown message: prefix and stored bytes
  verdict TEXT NOT NULL, -- JSON
  internal_date INTEGER NOT NULL,
  held_at INTEGER NOT NULL,
  linked_to INTEGER,
  drop_id TEXT, --    the drop that took it last
  copied_by TEXT, --  the drop that copied it onto Spam or Not Spam while it stays ($Trained)
  waiting INTEGER NOT NULL DEFAULT 0, -- 1: the open stay shows a delivery that is put off; belongs to the stay
  leave_at INTEGER, -- a released copy leaves its folder then
  flags_r TEXT NOT NULL DEFAULT '',
  flags_d TEXT NOT NULL DEFAULT '',
  flags_g TEXT NOT NULL DEFAULT '',
  mod_r INTEGER NOT NULL,
  mod_d INTEGER NOT NULL,
  mod_g INTEGER NOT NULL
);
CREATE INDEX entries_by_owner ON entries (owner, folder, uid) WHERE uid IS NOT NULL;
CREATE INDEX entries_by_domain ON entries (owner_domain, folder, uid) WHERE uid IS NOT NULL;
CREATE INDEX entries_by_folder ON entries (folder, uid) WHERE uid IS NOT NULL;
-- Lists outside IMAP go by id, which every index of this table ends with, and want entries without a stay, too.
CREATE INDEX entries_of_owner ON entries (owner);
CREATE INDEX entries_of_domain ON entries (owner_domain);
CREATE INDEX entries_by_message ON entries (message_id);
CREATE INDEX entries_due_to_leave ON entries (leave_at) WHERE leave_at IS NOT NULL;

CREATE TABLE repeats (key TEXT PRIMARY KEY, entry_id INTEGER NOT NULL, held_at INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE stays (
  uid INTEGER PRIMARY KEY,
  entry_id INTEGER NOT NULL,
  folder TEXT NOT NULL, -- action folders too
  owner TEXT NOT NULL,
  began_at INTEGER NOT NULL,
  ended_at INTEGER,
  ended_mod_seq INTEGER,
  -- Of a stay that a drop began (on an action folder, in Trash by a discard, back home by a restore): that drop, and the
  -- stay it was taken from.
  drop_id TEXT,
  from_uid INTEGER,
  was_state TEXT, --      what the entry was when the drop took it, which an undo makes it again; null for held
  was_drop_id TEXT,
  was_copied_by TEXT,
  prefix TEXT -- what an ended stay showed, where the entry has another prefix by now
);
CREATE INDEX stays_by_entry ON stays (entry_id);
CREATE INDEX stays_by_source ON stays (from_uid) WHERE from_uid IS NOT NULL;
CREATE INDEX stays_by_drop ON stays (drop_id) WHERE drop_id IS NOT NULL;
CREATE INDEX stays_by_end ON stays (ended_mod_seq) WHERE ended_mod_seq IS NOT NULL;

CREATE TABLE drops (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  person TEXT,
  via TEXT NOT NULL,
  scope TEXT NOT NULL, -- a scope key
  folder TEXT, --         where the stays came from; null for an appended message
  action TEXT NOT NULL,
  mode TEXT NOT NULL,
  undo_ms INTEGER NOT NULL,
  hostname TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  lease TEXT NOT NULL,
  lease_until INTEGER NOT NULL,
  chunks INTEGER NOT NULL DEFAULT 0,
  sealed_at INTEGER,
  ripe_at INTEGER, --     its jobs have due times; null while they have not
  rolled_back_at INTEGER
);
CREATE INDEX drops_by_account ON drops (account);
CREATE INDEX drops_unsealed ON drops (lease_until) WHERE sealed_at IS NULL AND rolled_back_at IS NULL;
CREATE INDEX drops_unripe ON drops (sealed_at) WHERE sealed_at IS NOT NULL AND ripe_at IS NULL;

CREATE TABLE jobs (
  key TEXT PRIMARY KEY, -- drop id / entry id / step: a range of keys is a drop, which needs no index of its own
  drop_id TEXT NOT NULL REFERENCES drops (id),
  step TEXT NOT NULL,
  entry_id INTEGER, -- null for an appended message
  message_id INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  due_at INTEGER, --  null until the drop is sealed and its undo window has passed
  lease TEXT,
  lease_until INTEGER,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT,
  cancelled_by TEXT -- the drop that took its place
);
CREATE INDEX jobs_due ON jobs (state, step, due_at);
CREATE INDEX jobs_unripe ON jobs (key) WHERE due_at IS NULL AND state = 'ready';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE state = 'leased';
CREATE INDEX jobs_by_entry ON jobs (entry_id);
CREATE INDEX jobs_appended ON jobs (message_id) WHERE entry_id IS NULL;

-- What an account last taught about some bytes: the same again is not queued again (APPEND onto Spam, Not Spam).
CREATE TABLE trainings (
  account TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  class TEXT NOT NULL,
  PRIMARY KEY (account, sha256)
) WITHOUT ROWID;

CREATE TABLE changes (
  id INTEGER PRIMARY KEY, -- ascending with mod_seq
  mod_seq INTEGER NOT NULL,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  uid INTEGER NOT NULL,
  folder TEXT NOT NULL,
  entry_id INTEGER NOT NULL,
  message_id INTEGER NOT NULL,
  owner TEXT NOT NULL,
  level TEXT, --   null: all three
  account TEXT,
  flags_r TEXT,
  flags_d TEXT,
  flags_g TEXT,
  size INTEGER,
  internal_date INTEGER
);
CREATE INDEX changes_by_mod_seq ON changes (mod_seq);
CREATE INDEX changes_by_time ON changes (at);

-- Per scope and folder: the highest UID ever given there and the last mod-sequence of that level (DESIGN §7.4).
CREATE TABLE tops (
  scope TEXT NOT NULL,
  folder TEXT NOT NULL,
  uid INTEGER NOT NULL,
  mod_seq INTEGER NOT NULL,
  PRIMARY KEY (scope, folder)
) WITHOUT ROWID;

CREATE TABLE accounts (
  name TEXT PRIMARY KEY,
  scope TEXT NOT NULL, -- a scope key
  person TEXT,
  password_hash TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  password_changed_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE notices (id INTEGER PRIMARY KEY, account TEXT NOT NULL, text TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX notices_by_account ON notices (account, id);

CREATE TABLE settings (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE help_texts (account TEXT PRIMARY KEY, text_hash TEXT NOT NULL, uid INTEGER NOT NULL) WITHOUT ROWID;
