CREATE TABLE captions (key BLOB PRIMARY KEY, source BLOB NOT NULL, caption TEXT NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID
CREATE INDEX captions_by_use ON captions (used)
CREATE TABLE gists (key BLOB PRIMARY KEY, gist BLOB NOT NULL, used INTEGER NOT NULL)
CREATE INDEX gists_by_use ON gists (used)
CREATE TABLE sources (id BLOB PRIMARY KEY, bundle TEXT NOT NULL, captioner TEXT NOT NULL, settings TEXT NOT NULL)
