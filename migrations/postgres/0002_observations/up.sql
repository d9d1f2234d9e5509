CREATE TABLE observations (
    host TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    says TEXT COLLATE "C" NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    ttl_seconds BIGINT NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (host, channel)
);
CREATE INDEX observations_received ON observations (received_at);
