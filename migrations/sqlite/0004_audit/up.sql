CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    at_micros BIGINT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    target TEXT NOT NULL,
    target_uid TEXT NOT NULL,
    host TEXT NOT NULL,
    initiator TEXT NOT NULL,
    by_user BOOLEAN NOT NULL,
    body TEXT NOT NULL,
    key_id TEXT NOT NULL,
    previous TEXT NOT NULL,
    mac TEXT NOT NULL
);
CREATE INDEX audit_target ON audit (target, seq);
CREATE INDEX audit_host ON audit (host, seq);
CREATE TABLE audit_chain (
    id BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL,
    last_mac TEXT NOT NULL,
    anchor_seq BIGINT NOT NULL,
    anchor_mac TEXT NOT NULL,
    key_id TEXT NOT NULL,
    seal TEXT NOT NULL
);
INSERT INTO audit_chain (id, last_seq, last_mac, anchor_seq, anchor_mac, key_id, seal) VALUES (1, 0, '', 0, '', '', '');
