CREATE TABLE revision (
    id BIGINT NOT NULL PRIMARY KEY,
    current BIGINT NOT NULL,
    compacted BIGINT NOT NULL,
    cluster_uuid TEXT COLLATE "C" NOT NULL
);
CREATE TABLE resources (
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    resource_version BIGINT NOT NULL,
    owner_uid TEXT COLLATE "C",
    host TEXT COLLATE "C",
    is_open BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    spec TEXT NOT NULL,
    status TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE UNIQUE INDEX resources_uid ON resources (uid);
CREATE INDEX resources_owner ON resources (kind, owner_uid);
CREATE INDEX resources_host ON resources (kind, host);
CREATE INDEX resources_open ON resources (kind, is_open);
CREATE TABLE changes (
    rv BIGINT NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    op TEXT COLLATE "C" NOT NULL,
    object TEXT NOT NULL,
    at_micros BIGINT NOT NULL
);
CREATE TABLE host_claims (
    host TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner TEXT COLLATE "C" NOT NULL,
    owner_uid TEXT COLLATE "C" NOT NULL,
    claim_rank BIGINT NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,
    taken_at BIGINT NOT NULL
);
CREATE TABLE leases (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder TEXT COLLATE "C" NOT NULL,
    token BIGINT NOT NULL,
    renew_seq BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    acquired_at BIGINT NOT NULL
);
CREATE TABLE evidence (
    host TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE secrets (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    key_id TEXT COLLATE "C" NOT NULL,
    nonce BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL
);
CREATE TABLE events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    regarding_uid TEXT COLLATE "C" NOT NULL,
    body TEXT NOT NULL,
    last_at BIGINT NOT NULL
);
CREATE INDEX events_regarding ON events (regarding_uid);
CREATE INDEX events_last ON events (last_at);
INSERT INTO revision (id, current, compacted, cluster_uuid) VALUES (1, 0, 0, '');
INSERT INTO leases (name, holder, token, renew_seq, duration_ms, acquired_at) VALUES ('controller', '', 0, 0, 0, 0);
