CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    at_micros BIGINT NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    target_uid TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    initiator TEXT COLLATE "C" NOT NULL,
    by_user BOOLEAN NOT NULL,
    body TEXT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    previous TEXT COLLATE "C" NOT NULL,
    mac TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_target ON audit (target, seq);
CREATE INDEX audit_host ON audit (host, seq);
CREATE TABLE audit_chain (
    id BIGINT NOT NULL PRIMARY KEY,
    last_seq BIGINT NOT NULL,
    last_mac TEXT COLLATE "C" NOT NULL,
    anchor_seq BIGINT NOT NULL,
    anchor_mac TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    seal TEXT COLLATE "C" NOT NULL
);
INSERT INTO audit_chain (id, last_seq, last_mac, anchor_seq, anchor_mac, key_id, seal) VALUES (1, 0, '', 0, '', '', '');
