-- Each statement can be run again: MySQL commits after each, so one that fails leaves those before it.
-- Keys are VARBINARY: compared byte by byte, also at their end.
CREATE TABLE IF NOT EXISTS revision (
    id BIGINT NOT NULL PRIMARY KEY,
    current BIGINT NOT NULL,
    compacted BIGINT NOT NULL,
    cluster_uuid VARBINARY(255) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS resources (
    kind VARBINARY(63) NOT NULL,
    name VARBINARY(255) NOT NULL,
    uid VARBINARY(255) NOT NULL,
    resource_version BIGINT NOT NULL,
    owner_uid VARBINARY(255),
    host VARBINARY(255),
    is_open BOOLEAN NOT NULL,
    metadata LONGTEXT NOT NULL,
    spec LONGTEXT NOT NULL,
    status LONGTEXT NOT NULL,
    PRIMARY KEY (kind, name),
    UNIQUE KEY resources_uid (uid),
    KEY resources_owner (kind, owner_uid),
    KEY resources_host (kind, host),
    KEY resources_open (kind, is_open)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS changes (
    rv BIGINT NOT NULL PRIMARY KEY,
    kind VARBINARY(63) NOT NULL,
    name VARBINARY(255) NOT NULL,
    op VARBINARY(16) NOT NULL,
    object LONGTEXT NOT NULL,
    at_micros BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS host_claims (
    host VARBINARY(255) NOT NULL PRIMARY KEY,
    owner VARBINARY(400) NOT NULL,
    owner_uid VARBINARY(255) NOT NULL,
    claim_rank BIGINT NOT NULL,
    purpose VARBINARY(255) NOT NULL,
    taken_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS leases (
    name VARBINARY(255) NOT NULL PRIMARY KEY,
    holder VARBINARY(255) NOT NULL,
    token BIGINT NOT NULL,
    renew_seq BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    acquired_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS evidence (
    host VARBINARY(255) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    body LONGTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS secrets (
    name VARBINARY(255) NOT NULL PRIMARY KEY,
    key_id VARBINARY(255) NOT NULL,
    nonce LONGBLOB NOT NULL,
    ciphertext LONGBLOB NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS events (
    id VARBINARY(255) NOT NULL PRIMARY KEY,
    regarding_uid VARBINARY(255) NOT NULL,
    body LONGTEXT NOT NULL,
    last_at BIGINT NOT NULL,
    KEY events_regarding (regarding_uid),
    KEY events_last (last_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO revision (id, current, compacted, cluster_uuid) VALUES (1, 0, 0, '');
INSERT IGNORE INTO leases (name, holder, token, renew_seq, duration_ms, acquired_at) VALUES ('controller', '', 0, 0, 0, 0);
