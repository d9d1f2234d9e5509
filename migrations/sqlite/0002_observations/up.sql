CREATE TABLE observations (
    host TEXT NOT NULL,
    channel TEXT NOT NULL,
    says TEXT NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    ttl_seconds BIGINT NOT NULL,
    sender TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (host, channel)
);
CREATE INDEX observations_received ON observations (received_at);
