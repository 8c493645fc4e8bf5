-- Organizations, what they may use, what they used, and what is projected for them.
--
-- Hours are full hours in UTC, numbered from 1970-01-01T00:00Z. Categories: 1 errors, 2 transactions,
-- 3 attachments (bytes). Texts from outside are numbered once, so that the many rows hold integers alone.

CREATE TABLE organizations (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    slug TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    trial BOOLEAN NOT NULL
);

CREATE TABLE subscriptions (
    organization BIGINT PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    active BOOLEAN NOT NULL
);

CREATE TABLE projects (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    organization BIGINT NOT NULL REFERENCES organizations ON DELETE CASCADE,
    active BOOLEAN NOT NULL,
    -- The hour in which it was made; NULL: so long ago that it does not matter.
    created BIGINT
);

CREATE INDEX projects_of_organization ON projects (organization);

-- What an organization may use in 30 days. No row: unlimited.
CREATE TABLE quotas (
    organization BIGINT NOT NULL REFERENCES organizations ON DELETE CASCADE,
    category SMALLINT NOT NULL CHECK (category IN (1, 2, 3)),
    quota BIGINT NOT NULL CHECK (quota >= 0),
    PRIMARY KEY (organization, category)
);

-- An hour fits into 32 bits until the year 246,000.
CREATE TABLE hourly_usage (
    project BIGINT NOT NULL REFERENCES projects ON DELETE CASCADE,
    category SMALLINT NOT NULL CHECK (category IN (1, 2, 3)),
    hour INTEGER NOT NULL,
    accepted BIGINT NOT NULL CHECK (accepted >= 0),
    dropped BIGINT NOT NULL CHECK (dropped >= 0),
    PRIMARY KEY (project, category, hour)
);

-- Hours in which the pipeline had data of any organization: there, no row means zero. Elsewhere it means unknown.
CREATE TABLE known_hours (
    hour INTEGER PRIMARY KEY
);

-- The last projection of each organization, also of one that came to no rows. `generation` is the hour that it was
-- projected from; of one generation the larger fence wins.
CREATE TABLE projected (
    organization BIGINT PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    fence BIGINT NOT NULL,
    method TEXT NOT NULL,
    look_back INTEGER NOT NULL,
    version INTEGER NOT NULL,
    -- Milliseconds since 1970.
    computed_at BIGINT NOT NULL,
    -- Why it was kept when a later run could not replace it; NULL: it is as good as the run was.
    stale TEXT
);

CREATE INDEX projected_by_generation ON projected (generation);

CREATE TABLE projected_series (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organization BIGINT NOT NULL REFERENCES projected ON DELETE CASCADE,
    project BIGINT NOT NULL REFERENCES projects ON DELETE CASCADE,
    category SMALLINT NOT NULL,
    floor BIGINT NOT NULL,
    multiplier DOUBLE PRECISION NOT NULL,
    samples INTEGER NOT NULL,
    UNIQUE (organization, project, category)
);

CREATE INDEX projected_series_of_project ON projected_series (project);

-- 168 rows for each series: the reason (1 floor, 2 usage) and the limit of an hour are all that differs.
CREATE TABLE projected_hours (
    series BIGINT NOT NULL REFERENCES projected_series ON DELETE CASCADE,
    hour INTEGER NOT NULL,
    expected DOUBLE PRECISION NOT NULL CHECK (expected >= 0),
    spike_limit BIGINT NOT NULL CHECK (spike_limit >= 1),
    reason SMALLINT NOT NULL CHECK (reason IN (1, 2)),
    PRIMARY KEY (series, hour)
);

-- The projections as a reader wants them: one row for each organization, project, category and hour.
CREATE VIEW projections AS
SELECT o.id AS organization,
       p.id AS project,
       CASE s.category WHEN 1 THEN 'errors' WHEN 2 THEN 'transactions' ELSE 'attachments' END AS category,
       h.hour,
       h.expected,
       h.spike_limit,
       s.floor,
       s.multiplier,
       CASE h.reason WHEN 1 THEN 'floor' ELSE 'usage' END AS reason,
       d.generation,
       d.method,
       d.look_back,
       d.version,
       s.samples,
       d.computed_at,
       d.stale
FROM projected_hours h
JOIN projected_series s ON s.number = h.series
JOIN projected d ON d.organization = s.organization
JOIN organizations o ON o.number = s.organization
JOIN projects p ON p.number = s.project;
