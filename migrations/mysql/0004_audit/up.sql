CREATE TABLE IF NOT EXISTS audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    id VARBINARY(400) NOT NULL,
    at_micros BIGINT NOT NULL,
    action VARBINARY(400) NOT NULL,
    outcome VARBINARY(400) NOT NULL,
    target VARBINARY(400) NOT NULL,
    target_uid VARBINARY(400) NOT NULL,
    host VARBINARY(400) NOT NULL,
    initiator VARBINARY(400) NOT NULL,
    by_user BOOLEAN NOT NULL,
    body LONGTEXT NOT NULL,
    key_id VARBINARY(400) NOT NULL,
    previous VARBINARY(400) NOT NULL,
    mac VARBINARY(400) NOT NULL,
    KEY audit_target (target, seq),
    KEY audit_host (host, seq)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS audit_chain (
    id BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL,
    last_mac VARBINARY(400) NOT NULL,
    anchor_seq BIGINT NOT NULL,
    anchor_mac VARBINARY(400) NOT NULL,
    key_id VARBINARY(400) NOT NULL,
    seal VARBINARY(400) NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO audit_chain (id, last_seq, last_mac, anchor_seq, anchor_mac, key_id, seal) VALUES (1, 0, '', 0, '', '', '');
