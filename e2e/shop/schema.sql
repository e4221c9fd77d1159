-- The shop's tables, for MariaDB 10.6 or MySQL 8. Statements end at each semicolon.
CREATE DATABASE shop;
CREATE TABLE shop.products (id INT PRIMARY KEY, name VARCHAR(64) NOT NULL, price DECIMAL(8,2) NOT NULL, sold BIGINT NOT NULL DEFAULT 0) ENGINE=InnoDB;
INSERT INTO shop.products (id, name, price) VALUES (1, 'kettle', 39.00), (2, 'lamp', 24.50), (3, 'chair', 119.00), (4, 'clock', 17.90), (5, 'rug', 74.00);
CREATE TABLE shop.orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, made TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB;
CREATE TABLE shop.order_lines (order_id BIGINT NOT NULL, product_id INT NOT NULL, pieces INT NOT NULL, PRIMARY KEY (order_id, product_id),
  FOREIGN KEY (order_id) REFERENCES shop.orders (id) ON DELETE CASCADE) ENGINE=InnoDB;
-- One row for each connection that /fault/leak-connection may leave in a transaction.
CREATE TABLE shop.reservations (id INT PRIMARY KEY, held_since TIMESTAMP NULL) ENGINE=InnoDB;
INSERT INTO shop.reservations (id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n;
