CREATE TABLE revision (
    id BIGINT NOT NULL PRIMARY KEY,
    current BIGINT NOT NULL,
    compacted BIGINT NOT NULL,
    cluster_uuid TEXT NOT NULL
);
CREATE TABLE resources (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    resource_version BIGINT NOT NULL,
    owner_uid TEXT,
    host TEXT,
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
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    op TEXT NOT NULL,
    object TEXT NOT NULL,
    at_micros BIGINT NOT NULL
);
CREATE TABLE host_claims (
    host TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    owner_uid TEXT NOT NULL,
    claim_rank BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    taken_at BIGINT NOT NULL
);
CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    token BIGINT NOT NULL,
    renew_seq BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    acquired_at BIGINT NOT NULL
);
CREATE TABLE evidence (
    host TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    nonce BLOB NOT NULL,
    ciphertext BLOB NOT NULL
);
CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    regarding_uid TEXT NOT NULL,
    body TEXT NOT NULL,
    last_at BIGINT NOT NULL
);
CREATE INDEX events_regarding ON events (regarding_uid);
CREATE INDEX events_last ON events (last_at);
INSERT INTO revision (id, current, compacted, cluster_uuid) VALUES (1, 0, 0, '');
INSERT INTO leases (name, holder, token, renew_seq, duration_ms, acquired_at) VALUES ('controller', '', 0, 0, 0, 0);
