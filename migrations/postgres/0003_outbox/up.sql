CREATE TABLE outbox (
    seq BIGINT NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX outbox_id ON outbox (id);
CREATE TABLE deliveries (
    id BIGINT NOT NULL PRIMARY KEY,
    delivered BIGINT NOT NULL,
    delivered_at BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    failure TEXT NOT NULL,
    given_up BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    lost_at BIGINT NOT NULL
);
INSERT INTO deliveries (id, delivered, delivered_at, failed_at, failure, given_up, dropped, lost_at) VALUES (1, 0, 0, 0, '', 0, 0, 0);
