CREATE TABLE IF NOT EXISTS outbox (
    seq BIGINT NOT NULL PRIMARY KEY,
    id VARBINARY(255) NOT NULL,
    created_at BIGINT NOT NULL,
    body LONGTEXT NOT NULL,
    KEY outbox_id (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE TABLE IF NOT EXISTS deliveries (
    id BIGINT NOT NULL PRIMARY KEY,
    delivered BIGINT NOT NULL,
    delivered_at BIGINT NOT NULL,
    failed_at BIGINT NOT NULL,
    failure LONGTEXT NOT NULL,
    given_up BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    lost_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
INSERT IGNORE INTO deliveries (id, delivered, delivered_at, failed_at, failure, given_up, dropped, lost_at) VALUES (1, 0, 0, 0, '', 0, 0, 0);
