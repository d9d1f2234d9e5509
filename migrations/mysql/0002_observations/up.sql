CREATE TABLE IF NOT EXISTS observations (
    host VARBINARY(255) NOT NULL,
    channel VARBINARY(255) NOT NULL,
    says VARBINARY(16) NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    ttl_seconds BIGINT NOT NULL,
    sender VARBINARY(255) NOT NULL,
    detail LONGTEXT NOT NULL,
    PRIMARY KEY (host, channel),
    KEY observations_received (received_at)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
