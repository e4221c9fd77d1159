-- The two procedures with which resp-exporter ends connections and statements
-- of MariaDB 10.5 or newer. They repeat the exporter's checks in the server, so
-- its login needs no right to kill connections: only users in
-- resp_heal.allowed, only connections that sleep in a transaction, only plain
-- SELECT statements.
--
-- Run it as an administrator:  mariadb < mariadb-heal.sql
-- Then allow the app's user:   INSERT INTO resp_heal.allowed VALUES ('shop');
-- As long as that table is empty, nothing can be ended.
-- To remove all of it:         DROP DATABASE resp_heal; DROP USER 'resp_heal'@'localhost';

CREATE DATABASE IF NOT EXISTS resp_heal CHARACTER SET utf8mb4;

-- The users whose connections and statements may be ended. The names are exact.
CREATE TABLE IF NOT EXISTS resp_heal.allowed (
  user VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY
);

-- The account that the procedures run as. Nobody can log in as it.
CREATE USER IF NOT EXISTS 'resp_heal'@'localhost' IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK;
GRANT PROCESS, CONNECTION ADMIN ON *.* TO 'resp_heal'@'localhost';
GRANT SELECT ON resp_heal.allowed TO 'resp_heal'@'localhost';

DELIMITER //

-- Ends one connection that has slept in a transaction for p_min_ms
-- milliseconds, since the statement p_query_id, and has changed at most
-- p_max_rows rows. p_done is 1 if it was ended, and 0 if there is no such connection.
CREATE OR REPLACE DEFINER='resp_heal'@'localhost' PROCEDURE resp_heal.kill_idle(
  IN p_id BIGINT UNSIGNED, IN p_query_id BIGINT UNSIGNED, IN p_min_ms BIGINT UNSIGNED, IN p_max_rows BIGINT UNSIGNED, OUT p_done INT)
SQL SECURITY DEFINER READS SQL DATA
BEGIN
  DECLARE CONTINUE HANDLER FOR 1094 SET p_done = 0; -- the connection has ended meanwhile
  SELECT COUNT(*) INTO p_done FROM information_schema.innodb_trx
    WHERE trx_mysql_thread_id = p_id AND trx_state = 'RUNNING' AND trx_rows_modified <= p_max_rows;
  IF p_done = 1 THEN
    SELECT COUNT(*) INTO p_done FROM information_schema.processlist p
      WHERE p.id = p_id AND p.id <> CONNECTION_ID() AND p.command = 'Sleep' AND p.query_id = p_query_id
        AND p.time_ms >= GREATEST(p_min_ms, 1000)
        AND p.user NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
        AND EXISTS (SELECT 1 FROM resp_heal.allowed a WHERE a.user = CONVERT(p.user USING utf8mb4) COLLATE utf8mb4_bin);
  END IF;
  IF p_done = 1 THEN
    KILL CONNECTION p_id;
  END IF;
END //

-- Ends one statement that has run for p_min_ms milliseconds, if it is a SELECT
-- that neither locks nor writes. Its connection stays open.
CREATE OR REPLACE DEFINER='resp_heal'@'localhost' PROCEDURE resp_heal.kill_query(
  IN p_id BIGINT UNSIGNED, IN p_query_id BIGINT UNSIGNED, IN p_min_ms BIGINT UNSIGNED, OUT p_done INT)
SQL SECURITY DEFINER READS SQL DATA
BEGIN
  DECLARE CONTINUE HANDLER FOR 1094, 1957 SET p_done = 0; -- the statement has ended meanwhile
  SELECT COUNT(*) INTO p_done FROM information_schema.processlist p
    WHERE p.id = p_id AND p.id <> CONNECTION_ID() AND p.command IN ('Query', 'Execute') AND p.query_id = p_query_id
      AND p.time_ms >= GREATEST(p_min_ms, 1000)
      AND p.user NOT IN ('system user', 'event_scheduler', 'unauthenticated user')
      AND EXISTS (SELECT 1 FROM resp_heal.allowed a WHERE a.user = CONVERT(p.user USING utf8mb4) COLLATE utf8mb4_bin)
      AND CHAR_LENGTH(p.info) < 60000
      AND UPPER(p.info) REGEXP '^([[:space:](]|/[*][^!M*/][^*/]*[*]/)*SELECT[^A-Z0-9_$]'
      AND UPPER(p.info) NOT REGEXP '/[*]M?!'
      AND UPPER(p.info) NOT REGEXP '(^|[^A-Z0-9_$])(INTO|NAME_CONST|FOR[[:space:]]+UPDATE|FOR[[:space:]]+SHARE|LOCK[[:space:]]+IN|[*]/[[:space:]]*(UPDATE|SHARE|IN))([^A-Z0-9_$]|$)';
  IF p_done = 1 THEN
    KILL QUERY ID p_query_id;
  END IF;
END //

DELIMITER ;

-- The account that the procedures run as needs this right too.
GRANT EXECUTE ON PROCEDURE resp_heal.kill_idle TO 'resp_heal'@'localhost';
GRANT EXECUTE ON PROCEDURE resp_heal.kill_query TO 'resp_heal'@'localhost';

-- The exporter's user of docs/mysql.md. Repeat this for each of its hosts.
GRANT EXECUTE ON PROCEDURE resp_heal.kill_idle TO 'resp'@'127.0.0.1';
GRANT EXECUTE ON PROCEDURE resp_heal.kill_query TO 'resp'@'127.0.0.1';
