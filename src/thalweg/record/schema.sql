-- One study is one file. Rows are written as they happen and never changed, except study.verdict, which is written
-- anew when the study is complete, and a run that failed, whose next record takes its place.
-- The table baseline came with version 2 and checksum with 3; an older file gets them when it is next written to.

CREATE TABLE IF NOT EXISTS study (  -- what the study is: one JSON value a line
    name  TEXT PRIMARY KEY,     -- task, fingerprint, protocol, environment, plan, verdict
    value TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS recipe (  -- who is compared
    name     TEXT PRIMARY KEY,  -- unique in the study: "adam", "adam + cosine"
    position INTEGER NOT NULL,  -- the order in which the user named them
    declared TEXT NOT NULL      -- TOML, ranges included
);

CREATE TABLE IF NOT EXISTS run (  -- one (task, resolved recipe, seed) trained once
    identity    TEXT PRIMARY KEY,
    recipe      TEXT NOT NULL,  -- TOML, resolved: every hyperparameter has its value
    seed        INTEGER NOT NULL,
    status      TEXT NOT NULL CHECK (status IN ('finished', 'diverged', 'failed')),
    reason      TEXT NOT NULL,  -- '' when finished; else one sentence
    executor    TEXT NOT NULL,  -- 'one by one', 'vmapped, 32 together'
    steps       INTEGER NOT NULL,
    cpu_seconds REAL NOT NULL,  -- its share of the process's CPU time
    state_bytes REAL NOT NULL,  -- optimizer state, bytes per parameter
    train       REAL,           -- the metric on each split after the last step; NULL: failed
    valid       REAL,
    test        REAL
);

CREATE TABLE IF NOT EXISTS curve (  -- one row an epoch; epoch 0 is the untrained model
    run        TEXT NOT NULL REFERENCES run (identity),
    epoch      INTEGER NOT NULL,
    step       INTEGER NOT NULL,
    train_loss REAL,            -- mean over the epoch's batches; NULL: not finite, or epoch 0
    valid      REAL,            -- the validation metric; NULL: not finite
    PRIMARY KEY (run, epoch)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outcome (  -- the metric of every test example, little-endian float32
    run  TEXT PRIMARY KEY REFERENCES run (identity),
    test BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS entry (  -- why a run was made; one run can serve several arms
    arm      TEXT NOT NULL CHECK (arm IN ('tuning', 'defaults', 'chosen', 'sensitivity')),
    recipe   TEXT NOT NULL REFERENCES recipe (name),
    setting  INTEGER NOT NULL,  -- tuning: trial (0 = defaults); sensitivity: which rate; else 0
    repeat   INTEGER NOT NULL,  -- which of the arm's seeds; equal repeats are paired
    run      TEXT NOT NULL,     -- the identity; the run's row may not be there yet
    PRIMARY KEY (arm, recipe, setting, repeat)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS baseline (  -- one classical model fitted once, at one setting
    name        TEXT NOT NULL,  -- "knn"
    setting     INTEGER NOT NULL,  -- its place among those tried; 0 = the usual one
    repeat      INTEGER NOT NULL,  -- which of the reporting seeds it was drawn with; 0 where it draws nothing
    declared    TEXT NOT NULL,  -- the model with its hyperparameters, as scikit-learn writes them
    reason      TEXT NOT NULL,  -- why it could not be fitted, in one sentence; '' where it was
    cpu_seconds REAL NOT NULL,  -- of fitting and judging
    train       REAL,           -- the metric on each split; NULL: not fitted
    valid       REAL,
    test        REAL,
    outcomes    BLOB,           -- the metric of every test example, little-endian float32
    PRIMARY KEY (name, setting, repeat)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS checksum (  -- one of every record; see checksums.py
    kind TEXT NOT NULL,         -- 'table' or the table that the record is in
    name BLOB NOT NULL,         -- its key as text, with commas
    crc  INTEGER NOT NULL,      -- CRC-32 of what is read of it; of a run, its curve and outcomes too
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
